"""The seat map: the seats of an event and their status.

Five thousand seats are 750 kB of JSON, and in a sale seats change fifty times a second. So the map
is kept as one piece of JSON for each seat. After a change only the seats that are not available
are read, unsorted, and the pieces that differ are replaced.
"""

from __future__ import annotations

import time

import orjson

from ticket_service.errors import EventNotFound, SeatSelectionUnavailable
from ticket_service.stores.documents import Document, Documents
from ticket_service.stores.postgres import Postgres, SqlScript
from ticket_service.stores.sized_cache import SizedCache
from ticket_service.stores.taken_seats import read_taken_seats

LAYOUT_MAX_AGE = 10.0
"""Seconds after which seats, labels and prices are read again: other programs may change them."""

MAX_BYTES = 200_000_000
"""Memory for all maps."""

SEAT_BYTES = 600
"""Memory that a seat takes in a map; measured: 560."""

_EVENT = SqlScript(
    seat_map_event="""
    SELECT e.title, l.layout_config::text
    FROM events e LEFT JOIN seat_layouts l ON l.id = e.seat_layout_id
    WHERE e.id = %(event_id)s
"""
)

_SEATS = SqlScript(
    seat_map="""
    SELECT id::text, section, row_number, seat_number, seat_label, price, left(status, 1)
    FROM seats WHERE event_id = %(event_id)s
    ORDER BY section, row_number, seat_number
"""
)

# The end of a seat's JSON, by the first letter of its status.
_ENDS = {
    "a": b'"available"}',
    "l": b'"locked"}',
    "r": b'"reserved"}',
}


class SeatMaps:
    """The seat maps of this instance."""

    def __init__(self, postgres: Postgres, documents: Documents) -> None:
        self._postgres = postgres
        self._documents = documents
        self._maps: SizedCache[str, _SeatMap] = SizedCache(MAX_BYTES)

    def read(self, event_id: str) -> Document:
        """The seat map of an event, by section, row and seat.

        Raises EventNotFound, SeatSelectionUnavailable (no layout), ServiceUnavailable.
        """
        return self._documents.read(
            ("seat-map", event_id), lambda: self._load(event_id), event_id=event_id
        )

    def _is_recent(self, seat_map: _SeatMap) -> bool:
        recent = time.monotonic() - seat_map.read_at < LAYOUT_MAX_AGE
        return recent and seat_map.read_at > self._documents.forgotten_at

    def _load(self, event_id: str) -> bytes:
        seat_map = self._maps.get(event_id)
        if seat_map is not None and self._is_recent(seat_map):
            taken = read_taken_seats(self._postgres, event_id)
            if seat_map.update(taken.total, taken.letters):
                return seat_map.body()
        seat_map = self._read_whole(event_id)
        self._maps.put(event_id, seat_map, seat_map.size)
        return seat_map.body()

    def _read_whole(self, event_id: str) -> _SeatMap:
        event = self._postgres.transaction(_EVENT, {"event_id": event_id})
        if not event:
            raise EventNotFound
        [(title, layout)] = event
        if layout is None:
            raise SeatSelectionUnavailable
        seats = self._postgres.transaction(_SEATS, {"event_id": event_id})
        return _SeatMap(event_id, title, layout, seats)


class _SeatMap:
    """One event's seats as pieces of JSON. Used by one greenlet at a time (Documents.read sees to
    it)."""

    def __init__(
        self,
        event_id: str,
        title: str,
        layout: str,
        seats: list[tuple[str, str, int, int, str, int, str]],
    ) -> None:
        self.read_at = time.monotonic()
        event = orjson.dumps({"id": event_id, "title": title})
        self._head = b'{"event":' + event + b',"layout":' + layout.encode() + b',"seats":['
        self._beginnings = [
            orjson.dumps(
                {
                    "id": seat_id,
                    "section": section,
                    "row_number": row_number,
                    "seat_number": seat_number,
                    "seat_label": seat_label,
                    "price": price,
                }
            )[:-1]
            + b',"status":'
            for seat_id, section, row_number, seat_number, seat_label, price, _ in seats
        ]
        self._positions = {seat[0]: position for position, seat in enumerate(seats)}
        self._taken = {seat[0]: seat[-1] for seat in seats if seat[-1] != "a"}
        self._pieces = [
            beginning + _ENDS[seat[-1]]
            for beginning, seat in zip(self._beginnings, seats, strict=True)
        ]

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self._head) + SEAT_BYTES * (1 + len(self._pieces))

    def update(self, total: int, now: dict[str, str]) -> bool:
        """Replace the pieces of the seats whose status changed.

        `total`: the number of seats. `now`: the first letter of the status, by id, of those that
        are not available. Returns False if the event has other seats than before; the map must
        then be read again.
        """
        changed = {seat_id for seat_id, _ in now.items() ^ self._taken.items()}
        if total != len(self._pieces) or not changed <= self._positions.keys():
            return False
        for seat_id in changed:
            position = self._positions[seat_id]
            self._pieces[position] = self._beginnings[position] + _ENDS[now.get(seat_id, "a")]
        self._taken = now
        return True

    def body(self) -> bytes:
        """The whole answer, JSON."""
        return self._head + b",".join(self._pieces) + b"]}"
