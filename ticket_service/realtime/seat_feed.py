"""Tells browsers how the seats of an event change, whoever changed them.

Each instance keeps, for every event whose seats its own sockets look at, what it last told them: a
*hall*. What this service changes arrives over the bus at once; what other programs change in the
shared tables is found by reading them every second, by one instance for all. Only what differs from
the hall is told, so nobody hears the same thing twice, and a message that got lost is made up for
by the next reading.
"""

from __future__ import annotations

import time
import zlib
from typing import Any

from gevent.lock import BoundedSemaphore

from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.bus import Bus
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores import keys
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.each_event import read_soon
from ticket_service.stores.postgres import Postgres
from ticket_service.stores.redis import Redis, RedisUnavailable
from ticket_service.stores.taken_seats import read_taken_seats

CLAIM_MS = 900
"""For so long the instance that claimed an event's reading keeps the others from it."""

DOUBT_SECONDS = 0.5
"""Within this time, messages about one seat are not taken for the order of what happened."""


class _Hall:
    """The seats of one event, as this instance last told its sockets."""

    def __init__(self) -> None:
        self.lock = BoundedSemaphore(1)
        self.seats: dict[str, str] | None = None
        """The status of each seat that is not available; None before the first reading."""
        self.version = 0
        self.read_version = 0
        """The version of the last reading."""
        self.changes = 0
        """How many changes there were; `changed_at`: which of them was the last one of a seat."""
        self.changed_at: dict[str, int] = {}
        self.early: dict[str, str] = {}
        """What was heard of seats before they were read for the first time."""
        self.heard_at: dict[str, float] = {}
        """When something of a seat was last heard over the bus, by the monotonic clock."""

    def change(self, seat_id: str, status: str) -> bool:
        """Take over a seat's status; whether it is another than before."""
        seats = self.seats
        if seats is None:
            self.early[seat_id] = status
            return False
        if seats.get(seat_id, "available") == status:
            return False
        self.changes += 1
        self.changed_at[seat_id] = self.changes
        if seat_id in seats:
            self.version ^= _digest(seat_id, seats.pop(seat_id))
        if status != "available":
            seats[seat_id] = status
            self.version ^= _digest(seat_id, status)
        return True


class SeatFeed:
    """The halls of this instance."""

    def __init__(
        self, postgres: Postgres, redis: Redis, bus: Bus, rooms: Rooms, announcer: Announcer
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._bus = bus
        self._rooms = rooms
        self._announcer = announcer
        self._halls: dict[str, _Hall] = {}
        self._coalescer: Coalescer[Any] = Coalescer()

    def snapshot(self, event_id: str) -> dict[str, Any]:
        """The seats that are not available now, and their version. Raises ServiceUnavailable.

        To be called for a socket that is in the room already: then it was told every change up to
        this state, and will be told every change from it.
        """
        self._read(event_id)
        hall = self._hall(event_id)
        return {
            "eventId": event_id,
            "version": f"{hall.version:08x}",
            "timestamp": events.now(),
            "seats": [
                {"seatId": seat_id, "status": status}
                for seat_id, status in (hall.seats or {}).items()
            ],
        }

    def begin(self, event_id: str) -> None:
        """Read the seats if this instance has not. Raises ServiceUnavailable."""
        if self._hall(event_id).seats is None:
            self._read(event_id)

    def look(self, event_id: str) -> None:
        """Find what other programs changed, for all instances, if none of them does just now; for
        this one alone while Redis is away, or if it has not read the seats yet.

        Raises ServiceUnavailable.
        """
        if self._hall(event_id).seats is None:
            self._read(event_id)
            return
        try:
            claim = keys.seat_reading(event_id)
            claimed = self._redis.command("SET", claim, 1, "NX", "PX", CLAIM_MS)
        except RedisUnavailable:
            self._read(event_id)
            return
        if claimed:
            changes = self._coalescer.run(("all", event_id), lambda: self._find_changes(event_id))
            for status in set(changes.values()):
                changed = [seat_id for seat_id, now in changes.items() if now == status]
                self._announcer.seats_changed(event_id, changed, status)
            version = self._hall(event_id).read_version
            self._bus.publish("version", eventId=event_id, version=version)

    def heard(self, message: dict[str, Any]) -> None:
        """Take a message `seats` of the bus, and tell what it changes.

        It is believed, unless something was heard of the seat just now: messages of two instances
        may overtake each other. Then the database knows, which had all of it before.
        """
        event_id, heard = message["eventId"], message["seats"]
        hall = self._halls.get(event_id)
        if hall is None:
            return
        now = time.monotonic()
        certain = {
            seat_id: status
            for seat_id, status in heard.items()
            if now - hall.heard_at.get(seat_id, 0.0) > DOUBT_SECONDS
        }
        hall.heard_at.update(dict.fromkeys(heard, now))
        self._tell(event_id, certain)
        if len(certain) < len(heard) and hall.seats is not None:
            read_soon(self._read, event_id)

    def heard_version(self, message: dict[str, Any]) -> None:
        """Take a message `version` of the bus: what an instance has just read.

        Where this one differs it reads the seats itself: messages may have been lost, or be on
        their way, which harms nothing.
        """
        hall = self._halls.get(message["eventId"])
        if hall is not None and hall.seats is not None and hall.version != message["version"]:
            read_soon(self._read, message["eventId"])

    def read_again(self) -> None:
        """Read all halls again, soon: messages may have been lost."""
        for event_id, hall in self._halls.items():
            if hall.seats is not None:
                read_soon(self._read, event_id)

    def forget_unseen(self) -> None:
        """Forget the halls that nobody looks at now."""
        for event_id in list(self._halls):
            if not self._rooms.occupied(events.seats(event_id)):
                del self._halls[event_id]

    def _read(self, event_id: str) -> None:
        """Read the seats and tell this instance what changed; the first reading tells nothing."""

        def read() -> None:
            hall = self._hall(event_id)
            hall.early.clear()
            changes = self._find_changes(event_id)
            if hall.seats is None:
                hall.seats = {}
                for seat_id, status in (changes | hall.early).items():
                    hall.change(seat_id, status)
                hall.early.clear()
            else:
                self._tell(event_id, changes)

        self._coalescer.run(("here", event_id), read)

    def _find_changes(self, event_id: str) -> dict[str, str]:
        """What differs from the hall, but for seats that changed while we read."""
        hall = self._hall(event_id)
        before = hall.changes
        now = read_taken_seats(self._postgres, event_id).statuses()
        hall.read_version = 0
        for seat_id, status in now.items():
            hall.read_version ^= _digest(seat_id, status)
        told = hall.seats or {}
        return {
            seat_id: now.get(seat_id, "available")
            for seat_id, _ in now.items() ^ told.items()
            if hall.changed_at.get(seat_id, 0) <= before
        }

    def _tell(self, event_id: str, changes: dict[str, str]) -> None:
        hall = self._halls.get(event_id)
        if hall is None:
            return
        with hall.lock:
            for seat_id, status in changes.items():
                if hall.change(seat_id, status):
                    self._announcer.here(events.seat_changed(event_id, seat_id, status))

    def _hall(self, event_id: str) -> _Hall:
        return self._halls.setdefault(event_id, _Hall())


def _digest(seat_id: str, status: str) -> int:
    """What a seat adds to the version, by exclusive or; docs/contract.md has it in JavaScript."""
    return zlib.crc32(f"{seat_id}:{status}".encode())
