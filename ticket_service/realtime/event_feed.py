"""Emits changes of events, and of their ticket types' stock, to browsers, whoever made them.

A message of the bus only says that the status or the stock of an event changed. Each instance then
reads both itself, and emits what differs from what it emitted last: the status at once, the stock
at most once an interval. A reading every second finds what other programs changed.
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
from ticket_service.stores.versions import Versions

_EVENT_NOW = SqlScript(
    event_now="""
    SELECT e.status, t.id::text, t.available_quantity, t.total_quantity
    FROM events e LEFT JOIN ticket_types t ON t.event_id = e.id
    WHERE e.id = %(event_id)s
"""
)

Stock = dict[str, tuple[int, int]]
"""Available and total quantity, by ticket type id."""


class _EventState:
    """One event, as this instance last emitted it."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.stock: Stock | None = None
        """None before the first reading."""
        self.stock_emitted_at = 0.0
        """`time.monotonic()`."""


class EventFeed:
    """The status and the stock of the events that this instance's sockets watch."""

    def __init__(
        self,
        postgres: Postgres,
        versions: Versions,
        rooms: Rooms,
        announcer: Announcer,
        *,
        update_seconds: float,
    ) -> None:
        """`update_seconds`: the shortest time between two emissions of one event's stock."""
        self._postgres = postgres
        self._versions = versions
        self._rooms = rooms
        self._announcer = announcer
        self._update_seconds = update_seconds
        self._states: dict[str, _EventState] = {}
        self._coalescer: Coalescer[Stock] = Coalescer()

    def snapshot(self, event_id: str) -> list[dict[str, Any]]:
        """The stock of each ticket type now. Raises ServiceUnavailable."""
        return [
            {"ticketTypeId": id_, "availableQuantity": available, "totalQuantity": total}
            for id_, (available, total) in self._read(event_id).items()
        ]

    def ensure_read(self, event_id: str) -> None:
        """Read the event if this instance has not yet. Raises ServiceUnavailable."""
        if self._state(event_id).stock is None:
            self._read(event_id)

    def poll(self, event_id: str) -> None:
        """Read the event, and emit what changed. Raises ServiceUnavailable."""
        self._read(event_id)

    def on_status(self, message: dict[str, Any]) -> None:
        """Handle a message `status` of the bus: read the event and emit its status at once."""
        state = self._states.get(message["eventId"])
        if state is not None and state.stock is not None:
            read_soon(self._read, message["eventId"])

    def on_stock(self, message: dict[str, Any]) -> None:
        """Handle a message `stock` of the bus: read and emit the stock at once, or with the next
        poll if it was emitted within the interval."""
        state = self._states.get(message["eventId"])
        if state is not None and state.stock is not None and self._may_emit_stock(state):
            read_soon(self._read, message["eventId"])

    def drop_unwatched(self) -> None:
        """Forget the events that nobody watches any more."""
        for event_id in list(self._states):
            if not self._rooms.occupied(events.event(event_id)):
                del self._states[event_id]

    def _read(self, event_id: str) -> Stock:
        """Read the event, emit to this instance what changed, and return the stock.

        The first reading emits nothing; nor does any emit the stock before the interval is over.
        """

        def read() -> Stock:
            rows = self._postgres.transaction(_EVENT_NOW, {"event_id": event_id})
            status = rows[0][0] if rows else None
            now: Stock = {
                id_: (available, total) for _, id_, available, total in rows if id_ is not None
            }
            state = self._state(event_id)
            if state.stock is None:
                state.status, state.stock = status, now
                return now
            if status is not None and status != state.status:
                self._emit_status(event_id, state, status)
            if self._may_emit_stock(state):
                self._emit_stock(event_id, state, now)
            return now

        return self._coalescer.run(event_id, read)

    def _emit_status(self, event_id: str, state: _EventState, status: str) -> None:
        """Emit the status. Whoever reads the event then must not get a cached answer from before:
        the program that wrote the status may not have told us."""
        state.status = status
        self._versions.change(event_id)
        self._announcer.emit_locally(events.event_status(event_id, status))

    def _emit_stock(self, event_id: str, state: _EventState, now: Stock) -> None:
        before, state.stock = state.stock or {}, now
        for ticket_type_id, quantities in now.items():
            if before.get(ticket_type_id) != quantities:
                state.stock_emitted_at = time.monotonic()
                self._announcer.emit_locally(
                    events.ticket_updated(event_id, ticket_type_id, *quantities)
                )

    def _may_emit_stock(self, state: _EventState) -> bool:
        return time.monotonic() - state.stock_emitted_at >= self._update_seconds

    def _state(self, event_id: str) -> _EventState:
        return self._states.setdefault(event_id, _EventState())
