"""Emits the changes of ticket types' stock to browsers, whoever made them.

A message of the bus only says that an event's stock changed. Each instance then reads the stock
itself, at most once an interval, and emits the latest numbers. A reading every second finds what
other programs changed.
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
"""Available and total quantity, by ticket type id."""


class _StockState:
    """The stock of one event, as this instance last emitted it."""

    def __init__(self) -> None:
        self.stock: Stock | None = None
        """None before the first reading."""
        self.emitted_at = 0.0
        """`time.monotonic()`."""


class StockFeed:
    """The stock of the events that this instance's sockets watch."""

    def __init__(
        self, postgres: Postgres, rooms: Rooms, announcer: Announcer, *, update_seconds: float
    ) -> None:
        """`update_seconds`: the shortest time between two emissions of one event's stock."""
        self._postgres = postgres
        self._rooms = rooms
        self._announcer = announcer
        self._update_seconds = update_seconds
        self._states: dict[str, _StockState] = {}
        self._coalescer: Coalescer[Stock] = Coalescer()

    def snapshot(self, event_id: str) -> list[dict[str, Any]]:
        """The stock of each ticket type now. Raises ServiceUnavailable."""
        return [
            {"ticketTypeId": id_, "availableQuantity": available, "totalQuantity": total}
            for id_, (available, total) in self._read(event_id).items()
        ]

    def ensure_read(self, event_id: str) -> None:
        """Read the stock if this instance has not yet. Raises ServiceUnavailable."""
        if self._state(event_id).stock is None:
            self._read(event_id)

    def poll(self, event_id: str) -> None:
        """Read the stock, unless it was emitted within the interval. Raises ServiceUnavailable."""
        if self._may_emit(self._state(event_id)):
            self._read(event_id)

    def on_stock(self, message: dict[str, Any]) -> None:
        """Handle a message `stock` of the bus: read and emit the stock at once, or with the next
        poll if it was emitted within the interval."""
        state = self._states.get(message["eventId"])
        if state is not None and state.stock is not None and self._may_emit(state):
            read_soon(self._read, message["eventId"])

    def drop_unwatched(self) -> None:
        """Forget the events whose stock nobody watches any more."""
        for event_id in list(self._states):
            if not self._rooms.occupied(events.event(event_id)):
                del self._states[event_id]

    def _read(self, event_id: str) -> Stock:
        """Read the stock, and emit to this instance what changed, unless the interval is not over.
        The first reading emits nothing."""

        def read() -> Stock:
            rows = self._postgres.transaction(_STOCK, {"event_id": event_id})
            now: Stock = {id_: (available, total) for id_, available, total in rows}
            state = self._state(event_id)
            if state.stock is None:
                state.stock = now
            elif self._may_emit(state):
                self._emit(event_id, state, now)
            return now

        return self._coalescer.run(event_id, read)

    def _emit(self, event_id: str, state: _StockState, now: Stock) -> None:
        before, state.stock = state.stock or {}, now
        for ticket_type_id, quantities in now.items():
            if before.get(ticket_type_id) != quantities:
                state.emitted_at = time.monotonic()
                self._announcer.emit_locally(
                    events.ticket_updated(event_id, ticket_type_id, *quantities)
                )

    def _may_emit(self, state: _StockState) -> bool:
        return time.monotonic() - state.emitted_at >= self._update_seconds

    def _state(self, event_id: str) -> _StockState:
        return self._states.setdefault(event_id, _StockState())
