"""Emits the changes of seats to browsers, whether this service or another program made them.

For every event whose seats its own sockets watch, each instance keeps the status of the seats as
it last emitted it. Changes by this service arrive over the bus at once. Changes by other programs
are found by reading the shared tables every second; one instance reads for all. Only differences
from the kept state are emitted. So nothing is emitted twice, and the next reading makes up for a
lost message.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from math import inf
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
from ticket_service.stores.redis import LISTEN_PING_SECONDS, Redis, RedisUnavailable
from ticket_service.stores.taken_seats import read_taken_seats

READ_CLAIM_MS = 900
"""For so long an instance that claimed the reading of an event keeps the others from it."""

REORDER_SECONDS = 0.5
"""Messages about one seat that arrive within this time may be out of order."""

LATE_SECONDS = 2 * LISTEN_PING_SECONDS
"""For so long a message may be on its way, before its connection counts as lost."""


class _SeatState:
    """The seats of one event, as this instance last emitted them."""

    def __init__(self) -> None:
        self.lock = BoundedSemaphore(1)
        """Held while changes are emitted, so that they go out in the order they are applied."""
        self.seats: dict[str, str] | None = None
        """The status of each seat that is not available; None before the first reading."""
        self.version = 0
        """The exclusive or of the digests of `seats`."""
        self.read_version = 0
        """The version of the last reading."""
        self.changes = 0
        """The number of changes so far."""
        self.changed_at: dict[str, int] = {}
        """The number of the last change of each seat."""
        self.early: dict[str, str] = {}
        """Statuses that arrived over the bus before the first reading."""
        self.received_at: dict[str, float] = {}
        """When a status last arrived over the bus, by seat (`time.monotonic()`)."""
        self.taken_at: dict[str, float] = {}
        """When a seat was last emitted as not available (`time.monotonic()`)."""

    def change(self, seat_id: str, status: str) -> bool:
        """Set a seat's status. Returns whether it changed; False before the first reading."""
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
            self.taken_at[seat_id] = time.monotonic()
            seats[seat_id] = status
            self.version ^= _digest(seat_id, status)
        return True


class SeatFeed:
    """The states of the events that this instance's sockets watch."""

    def __init__(
        self, postgres: Postgres, redis: Redis, bus: Bus, rooms: Rooms, announcer: Announcer
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._bus = bus
        self._rooms = rooms
        self._announcer = announcer
        self._states: dict[str, _SeatState] = {}
        self._coalescer: Coalescer[Any] = Coalescer()

    def snapshot(self, event_id: str) -> dict[str, Any]:
        """The seats that are not available now, and their version. Raises ServiceUnavailable.

        The socket that asks must be in the room already: then it gets every later change.
        """
        self._read(event_id)
        state = self._state(event_id)
        return {
            "eventId": event_id,
            "version": f"{state.version:08x}",
            "timestamp": events.now(),
            "seats": [
                {"seatId": seat_id, "status": status}
                for seat_id, status in (state.seats or {}).items()
            ],
        }

    def ensure_read(self, event_id: str) -> None:
        """Read the seats if this instance has not yet. Raises ServiceUnavailable."""
        if self._state(event_id).seats is None:
            self._read(event_id)

    def poll(self, event_id: str) -> None:
        """Read what other programs changed and publish it to all instances, unless another
        instance does so this second. Raises ServiceUnavailable.

        Without Redis, or before the first reading, an instance reads for itself alone.
        """
        if self._state(event_id).seats is None:
            self._read(event_id)
            return
        try:
            claim = keys.seat_reading(event_id)
            claimed = self._redis.command("SET", claim, 1, "NX", "PX", READ_CLAIM_MS)
        except RedisUnavailable:
            self._read(event_id)
            return
        if claimed:
            since = time.monotonic()
            changes = self._coalescer.run(("all", event_id), lambda: self._find_changes(event_id))
            for status in set(changes.values()):
                changed = [seat_id for seat_id, now in changes.items() if now == status]
                self._announcer.seats_changed(event_id, changed, status, since=since)
            version = self._state(event_id).read_version
            self._bus.publish("version", eventId=event_id, version=version)

    def on_seats(self, message: dict[str, Any]) -> None:
        """Handle a message `seats` of the bus: emit what it changes.

        Messages of two instances may arrive out of order, and one may be late: its instance was
        suspended before it sent it, or Redis was slow. So a seat is read from the database instead
        if another message about it arrived within REORDER_SECONDS, if this one is older than that,
        or if it would free a seat that was taken within LATE_SECONDS.
        """
        event_id, received = message["eventId"], message["seats"]
        state = self._states.get(event_id)
        if state is None:
            return
        now = time.monotonic()
        age = message.get("age", inf)  # instances of earlier releases send none
        certain = {
            seat_id
            for seat_id in received
            if age < REORDER_SECONDS < now - state.received_at.get(seat_id, 0.0)
        }

        def is_certain(seat_id: str, status: str) -> bool:
            frees_early = now - state.taken_at.get(seat_id, 0.0) <= LATE_SECONDS
            return seat_id in certain and not (status == "available" and frees_early)

        state.received_at.update(dict.fromkeys(received, now))
        if not self._apply(event_id, received, is_certain) and state.seats is not None:
            read_soon(self._read, event_id)

    def on_version(self, message: dict[str, Any]) -> None:
        """Handle a message `version` of the bus: another instance has just read this version.

        If this instance has another one it reads the seats, as a message may have been lost. If
        the message is only late, the reading was needless but harmless.
        """
        state = self._states.get(message["eventId"])
        if state is not None and state.seats is not None and state.version != message["version"]:
            read_soon(self._read, message["eventId"])

    def refresh_all(self) -> None:
        """Read the seats of all events again, soon: messages may have been lost."""
        for event_id, state in self._states.items():
            if state.seats is not None:
                read_soon(self._read, event_id)

    def drop_unwatched(self) -> None:
        """Forget the events whose seats nobody watches any more."""
        for event_id in list(self._states):
            if not self._rooms.occupied(events.seats(event_id)):
                self._states.pop(event_id).seats = None  # whoever still applies changes to it stops

    def _read(self, event_id: str) -> None:
        """Read the seats, and emit to this instance what changed; nothing on the first reading."""

        def read() -> None:
            state = self._state(event_id)
            state.early.clear()
            before = state.changes
            changes = self._find_changes(event_id)
            if state.seats is None:
                state.seats = {}
                for seat_id, status in (changes | state.early).items():
                    state.change(seat_id, status)
                state.early.clear()
            else:
                self._apply(
                    event_id, changes, lambda seat, _: state.changed_at.get(seat, 0) <= before
                )

        self._coalescer.run(("here", event_id), read)

    def _find_changes(self, event_id: str) -> dict[str, str]:
        """Read the seats. Returns those that differ from the state, with their new status,
        without those that changed during the reading."""
        state = self._state(event_id)
        before = state.changes
        now = read_taken_seats(self._postgres, event_id).statuses()
        state.read_version = 0
        for seat_id, status in now.items():
            state.read_version ^= _digest(seat_id, status)
        emitted = state.seats or {}
        return {
            seat_id: now.get(seat_id, "available")
            for seat_id, _ in now.items() ^ emitted.items()
            if state.changed_at.get(seat_id, 0) <= before
        }

    def _apply(
        self, event_id: str, changes: dict[str, str], holds: Callable[[str, str], bool]
    ) -> bool:
        """Change the state, and emit what differs from it to this instance.

        `holds`: whether a seat still has this status. It is asked when nobody else changes the
        state any more. Returns whether all seats had theirs.
        """
        state = self._states.get(event_id)
        if state is None:
            return True
        with state.lock:
            certain = {seat: status for seat, status in changes.items() if holds(seat, status)}
            for seat_id, status in certain.items():
                if state.change(seat_id, status):
                    self._announcer.emit_locally(events.seat_changed(event_id, seat_id, status))
        return len(certain) == len(changes)

    def _state(self, event_id: str) -> _SeatState:
        return self._states.setdefault(event_id, _SeatState())


def _digest(seat_id: str, status: str) -> int:
    """A seat's part of the version. docs/contract.md has the computation in JavaScript."""
    return zlib.crc32(f"{seat_id}:{status}".encode())
