"""Tells browsers how seats and stock change, whoever changed them.

Each instance keeps, for every event that its own sockets look at, what it last told them: its
*watch*. What this service changes arrives over the bus at once; what other programs change in the
shared tables is found by reading them every second, by one instance for all. Only what differs from
the watch is told, so nobody hears the same thing twice, and a message that got lost is made up for
by the next reading.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore

from ticket_service.errors import ServiceUnavailable
from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.bus import Bus
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores import keys
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.postgres import Postgres, SqlScript
from ticket_service.stores.redis import Redis, RedisUnavailable
from ticket_service.stores.taken_seats import read_taken_seats

CLAIM_MS = 900
"""For so long the instance that claimed an event's reading keeps the others from it."""

MAX_LOOKS = 2
"""Events that are looked at at the same time, each on a connection to PostgreSQL."""

DOUBT = 0.5
"""Seconds within which messages about one seat are not taken for the order of what happened."""

_STOCK = SqlScript(
    stock="""
    SELECT id::text, available_quantity, total_quantity FROM ticket_types
    WHERE event_id = %(event_id)s
"""
)

Stock = dict[str, tuple[int, int]]

log = logging.getLogger(__name__)


class _Watch:
    """One event, as this instance last told its sockets."""

    def __init__(self) -> None:
        self.lock = BoundedSemaphore(1)
        self.seats: dict[str, str] | None = None
        """The status of each seat that is not available; None where nobody looks."""
        self.version = 0
        self.read = 0
        """The version of the last reading."""
        self.changes = 0
        """How many changes there were; `changed_at`: which of them was the last one of a seat."""
        self.changed_at: dict[str, int] = {}
        self.early: dict[str, str] = {}
        """What was heard of seats before they were read for the first time."""
        self.heard_at: dict[str, float] = {}
        """When something of a seat was last heard over the bus, by the monotonic clock."""
        self.stock: Stock | None = None
        """Available and total quantity by ticket type, as last told; None where nobody looks."""
        self.stock_told_at = 0.0

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


class Watches:
    """The watches of this instance."""

    def __init__(
        self,
        postgres: Postgres,
        redis: Redis,
        bus: Bus,
        rooms: Rooms,
        announcer: Announcer,
        *,
        update_seconds: float,
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._bus = bus
        self._rooms = rooms
        self._announcer = announcer
        self._update_seconds = update_seconds
        self._watches: dict[str, _Watch] = {}
        self._coalescer: Coalescer[Any] = Coalescer()
        bus.on("seats", self._seats_changed)
        bus.on("stock", self._stock_changed)
        bus.on("version", self._compare)
        bus.on_return.append(self._look_again)

    def seats(self, event_id: str) -> dict[str, Any]:
        """The seats that are not available now, and their version. Raises ServiceUnavailable.

        To be called for a socket that is in the room already: then it was told every change up to
        this state, and will be told every change from it.
        """
        self._read_seats(event_id)
        watch = self._watch(event_id)
        return {
            "eventId": event_id,
            "version": f"{watch.version:08x}",
            "timestamp": events.now(),
            "seats": [
                {"seatId": seat_id, "status": status}
                for seat_id, status in (watch.seats or {}).items()
            ],
        }

    def stock(self, event_id: str) -> list[dict[str, Any]]:
        """The stock of each ticket type now. Raises ServiceUnavailable."""
        return [
            {"ticketTypeId": id_, "availableQuantity": available, "totalQuantity": total}
            for id_, (available, total) in self._read_stock(event_id).items()
        ]

    def begin(self, event_id: str, *, seats: bool = False, stock: bool = False) -> None:
        """Watch from now on, for a socket that was brought back to these rooms and did not ask.
        Raises ServiceUnavailable."""
        watch = self._watch(event_id)
        if seats and watch.seats is None:
            self._read_seats(event_id)
        if stock and watch.stock is None:
            self._read_stock(event_id)

    def look(self) -> None:
        """Look at what other programs changed; to be called about once a second.

        Raises ServiceUnavailable where nothing can be read.
        """
        with_seats = self._rooms.ids(events.seats(""))
        with_stock = self._rooms.ids(events.event(""))

        def look(event_id: str) -> None:
            if event_id in with_seats:
                self._look_at_seats(event_id)
            if event_id in with_stock and self._may_tell_stock(self._watch(event_id)):
                self._read_stock(event_id)

        for_each_event("watch", with_seats | with_stock, look, at_once=MAX_LOOKS)
        for event_id in list(self._watches):
            self._forget_unseen(event_id)

    def _forget_unseen(self, event_id: str) -> None:
        """Forget what nobody looks at now."""
        seats_seen = self._rooms.occupied(events.seats(event_id))
        stock_seen = self._rooms.occupied(events.event(event_id))
        watch = self._watches[event_id]
        if not seats_seen:
            watch.seats = None
        if not stock_seen:
            watch.stock = None
        if not seats_seen and not stock_seen:
            del self._watches[event_id]

    def _look_at_seats(self, event_id: str) -> None:
        """Find out for all instances, if none does; for this one alone while Redis is away, or if
        it has no watch yet."""
        if self._watch(event_id).seats is None:
            self._read_seats(event_id)
            return
        try:
            claimed = self._redis.command("SET", keys.watch(event_id), 1, "NX", "PX", CLAIM_MS)
        except RedisUnavailable:
            self._read_seats(event_id)
            return
        if claimed:
            changes = self._coalescer.run(
                ("others", event_id), lambda: self._find_changes(event_id)
            )
            for status in set(changes.values()):
                changed = [seat_id for seat_id, now in changes.items() if now == status]
                self._announcer.seats_changed(event_id, changed, status)
            self._bus.publish("version", eventId=event_id, version=self._watch(event_id).read)

    def _read_seats(self, event_id: str) -> None:
        """Read the seats and tell this instance what changed; the first reading tells nothing."""

        def read() -> None:
            watch = self._watch(event_id)
            watch.early.clear()
            changes = self._find_changes(event_id)
            if watch.seats is None:
                watch.seats = {}
                for seat_id, status in (changes | watch.early).items():
                    watch.change(seat_id, status)
                watch.early.clear()
            else:
                self._tell_seats(event_id, changes)

        self._coalescer.run(("seats", event_id), read)

    def _find_changes(self, event_id: str) -> dict[str, str]:
        """What differs from the watch, but for seats that changed while we read."""
        watch = self._watch(event_id)
        before = watch.changes
        now = read_taken_seats(self._postgres, event_id).statuses()
        watch.read = 0
        for seat_id, status in now.items():
            watch.read ^= _digest(seat_id, status)
        told = watch.seats or {}
        return {
            seat_id: now.get(seat_id, "available")
            for seat_id, _ in now.items() ^ told.items()
            if watch.changed_at.get(seat_id, 0) <= before
        }

    def _read_stock(self, event_id: str) -> Stock:
        """Read the stock, and tell this instance what changed if it is time to; the first reading
        tells nothing."""

        def read() -> Stock:
            rows = self._postgres.transaction(_STOCK, {"event_id": event_id})
            now: Stock = {id_: (available, total) for id_, available, total in rows}
            watch = self._watch(event_id)
            if watch.stock is None:
                watch.stock = now
            elif self._may_tell_stock(watch):
                self._tell_stock(event_id, watch, now)
            return now

        stock: Stock = self._coalescer.run(("stock", event_id), read)
        return stock

    def _tell_stock(self, event_id: str, watch: _Watch, now: Stock) -> None:
        told, watch.stock = watch.stock or {}, now
        for ticket_type_id, quantities in now.items():
            if told.get(ticket_type_id) != quantities:
                watch.stock_told_at = time.monotonic()
                self._announcer.here(events.ticket_updated(event_id, ticket_type_id, *quantities))

    def _seats_changed(self, message: dict[str, Any]) -> None:
        """Believe what is heard of a seat, unless something was heard of it just now: messages of
        two instances may overtake each other. Then the database knows, which had all of it before.
        """
        event_id, heard = message["eventId"], message["seats"]
        watch = self._watches.get(event_id)
        if watch is None:
            return
        now = time.monotonic()
        certain = {
            seat_id: status
            for seat_id, status in heard.items()
            if now - watch.heard_at.get(seat_id, 0.0) > DOUBT
        }
        watch.heard_at.update(dict.fromkeys(heard, now))
        self._tell_seats(event_id, certain)
        if len(certain) < len(heard) and watch.seats is not None:
            gevent.spawn(self._try, self._read_seats, event_id)

    def _compare(self, message: dict[str, Any]) -> None:
        """Read the seats ourselves if we differ from what an instance has just read: messages may
        have been lost, or be on their way, which harms nothing."""
        watch = self._watches.get(message["eventId"])
        if watch is not None and watch.seats is not None and watch.version != message["version"]:
            gevent.spawn(self._try, self._read_seats, message["eventId"])

    def _tell_seats(self, event_id: str, changes: dict[str, str]) -> None:
        watch = self._watches.get(event_id)
        if watch is None:
            return
        with watch.lock:
            for seat_id, status in changes.items():
                if watch.change(seat_id, status):
                    self._announcer.here(events.seat_changed(event_id, seat_id, status))

    def _stock_changed(self, message: dict[str, Any]) -> None:
        """Tell it at once, or with the next look if something was told just now: latest wins."""
        event_id = message["eventId"]
        watch = self._watches.get(event_id)
        if watch is not None and watch.stock is not None and self._may_tell_stock(watch):
            gevent.spawn(self._try, self._read_stock, event_id)

    def _may_tell_stock(self, watch: _Watch) -> bool:
        return time.monotonic() - watch.stock_told_at >= self._update_seconds

    def _look_again(self) -> None:
        """Messages may have been lost."""
        for event_id, watch in self._watches.items():
            if watch.seats is not None:
                gevent.spawn(self._try, self._read_seats, event_id)

    def _try(self, read: Callable[[str], object], event_id: str) -> None:
        try:
            read(event_id)
        except ServiceUnavailable:
            log.warning("not told until the next look", extra={"event_id": event_id})

    def _watch(self, event_id: str) -> _Watch:
        return self._watches.setdefault(event_id, _Watch())


def _digest(seat_id: str, status: str) -> int:
    """What a seat adds to the version, by exclusive or; docs/realtime.md has it in JavaScript."""
    return zlib.crc32(f"{seat_id}:{status}".encode())
