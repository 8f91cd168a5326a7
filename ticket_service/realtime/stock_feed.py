"""Tells browsers how the stock of an event's ticket types changes, whoever changed it.

A message of the bus only says that something changed; each instance then reads the stock itself, at
most once an interval, and tells the latest. What other programs change is found in the same way,
by a reading every second.
"""

from __future__ import annotations

import time
from typing import Any

from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.each_event import read_soon
from ticket_service.stores.postgres import Postgres, SqlScript

_STOCK = SqlScript(
    stock="""
    SELECT id::text, available_quantity, total_quantity FROM ticket_types
    WHERE event_id = %(event_id)s
"""
)

Stock = dict[str, tuple[int, int]]
"""Available and total quantity by ticket type."""


class _Shelf:
    """The stock of one event, as this instance last told its sockets."""

    def __init__(self) -> None:
        self.stock: Stock | None = None
        """None before the first reading."""
        self.told_at = 0.0
        """By the monotonic clock."""


class StockFeed:
    """The stock that the sockets of this instance look at."""

    def __init__(
        self, postgres: Postgres, rooms: Rooms, announcer: Announcer, *, update_seconds: float
    ) -> None:
        """`update_seconds`: the shortest time between two times that an event's stock is told."""
        self._postgres = postgres
        self._rooms = rooms
        self._announcer = announcer
        self._update_seconds = update_seconds
        self._shelves: dict[str, _Shelf] = {}
        self._coalescer: Coalescer[Stock] = Coalescer()

    def snapshot(self, event_id: str) -> list[dict[str, Any]]:
        """The stock of each ticket type now. Raises ServiceUnavailable."""
        return [
            {"ticketTypeId": id_, "availableQuantity": available, "totalQuantity": total}
            for id_, (available, total) in self._read(event_id).items()
        ]

    def begin(self, event_id: str) -> None:
        """Read the stock if this instance has not. Raises ServiceUnavailable."""
        if self._shelf(event_id).stock is None:
            self._read(event_id)

    def look(self, event_id: str) -> None:
        """Read the stock if it is time to tell it. Raises ServiceUnavailable."""
        if self._may_tell(self._shelf(event_id)):
            self._read(event_id)

    def heard(self, message: dict[str, Any]) -> None:
        """Take a message `stock` of the bus: tell it at once, or with the next look if something
        was told just now. The latest wins."""
        shelf = self._shelves.get(message["eventId"])
        if shelf is not None and shelf.stock is not None and self._may_tell(shelf):
            read_soon(self._read, message["eventId"])

    def forget_unseen(self) -> None:
        """Forget the stock that nobody looks at now."""
        for event_id in list(self._shelves):
            if not self._rooms.occupied(events.event(event_id)):
                del self._shelves[event_id]

    def _read(self, event_id: str) -> Stock:
        """Read the stock, and tell this instance what changed if it is time to; the first reading
        tells nothing."""

        def read() -> Stock:
            rows = self._postgres.transaction(_STOCK, {"event_id": event_id})
            now: Stock = {id_: (available, total) for id_, available, total in rows}
            shelf = self._shelf(event_id)
            if shelf.stock is None:
                shelf.stock = now
            elif self._may_tell(shelf):
                self._tell(event_id, shelf, now)
            return now

        return self._coalescer.run(event_id, read)

    def _tell(self, event_id: str, shelf: _Shelf, now: Stock) -> None:
        told, shelf.stock = shelf.stock or {}, now
        for ticket_type_id, quantities in now.items():
            if told.get(ticket_type_id) != quantities:
                shelf.told_at = time.monotonic()
                self._announcer.here(events.ticket_updated(event_id, ticket_type_id, *quantities))

    def _may_tell(self, shelf: _Shelf) -> bool:
        return time.monotonic() - shelf.told_at >= self._update_seconds

    def _shelf(self, event_id: str) -> _Shelf:
        return self._shelves.setdefault(event_id, _Shelf())
