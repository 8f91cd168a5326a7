"""Checks that ids are seats of an event, against a cache of the events' seat ids."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cachetools import LRUCache

from ticket_service.errors import InvalidInput
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.postgres import Postgres, SqlScript

MAX_BYTES = 16_000_000
"""Memory for all events together: a million seats. An event with more is read each time."""

ENTRY_BYTES = 500
"""Memory that an event takes beside its seats."""

MAX_AGE = 5.0
"""Seconds after which an unknown id makes the seats be read again, as another program may have
added some. A known id stays good: seats are only deleted with their event."""

_ID_BYTES = 16

# One value, sorted by bytes, so that Python need not loop over tens of thousands of rows.
_SEAT_IDS = SqlScript(
    event_seats="""
    SELECT coalesce(string_agg(uuid_send(id), ''::bytea ORDER BY id), ''::bytea)
    FROM seats WHERE event_id = %(event_id)s
"""
)


class _Seats(NamedTuple):
    """The seats of an event."""

    ids: bytes
    """The ids as 16 bytes each, sorted."""
    read_at: float
    """`time.monotonic()`."""

    def has(self, seat_id: str) -> bool:
        """Whether this id, a UUID, is one of them."""
        wanted = bytes.fromhex(seat_id.replace("-", ""))
        position = bisect_left(range(len(self.ids) // _ID_BYTES), wanted, key=self._at)
        return self._at(position) == wanted

    def _at(self, position: int) -> bytes:
        return self.ids[position * _ID_BYTES : (position + 1) * _ID_BYTES]


class EventSeats:
    """The seat ids of the events in which somebody chooses seats."""

    def __init__(self, postgres: Postgres, *, max_chosen: int) -> None:
        self._postgres = postgres
        self._max_chosen = max_chosen
        self._kept: LRUCache[str, _Seats] = LRUCache(
            MAX_BYTES, getsizeof=lambda seats: len(seats.ids) + ENTRY_BYTES
        )
        self._coalescer: Coalescer[_Seats] = Coalescer()

    def check_choice(self, event_id: str, seat_ids: Sequence[str]) -> None:
        """Check that these ids, which are UUIDs, are seats of the event, each once, and no more
        than a person may hold at once. Raises InvalidInput and ServiceUnavailable.

        The event must exist: an unknown id would cost a reading of the database.
        """
        if len(seat_ids) > self._max_chosen:
            details = {"seats": [f"Choose at most {self._max_chosen} seats."]}
            raise InvalidInput(details, "TOO_MANY_SEATS", limit=self._max_chosen)
        if len(set(seat_ids)) < len(seat_ids):
            raise InvalidInput({"seats": ["Choose each seat once."]}, "SEAT_TWICE")
        if seat_ids and not self._has_all(event_id, seat_ids):
            raise InvalidInput({"seats": ["Choose seats of this event."]}, "SEAT_NOT_FOUND")

    def _has_all(self, event_id: str, seat_ids: Sequence[str]) -> bool:
        kept = self._kept.get(event_id)
        if kept is not None:
            if all(kept.has(seat_id) for seat_id in seat_ids):
                return True
            if time.monotonic() - kept.read_at < MAX_AGE:
                return False
        seats = self._coalescer.run(event_id, lambda: self._read(event_id))
        return all(seats.has(seat_id) for seat_id in seat_ids)

    def _read(self, event_id: str) -> _Seats:
        [(ids,)] = self._postgres.transaction(_SEAT_IDS, {"event_id": event_id})
        seats = _Seats(bytes(ids), time.monotonic())
        with suppress(ValueError):  # larger than the whole cache
            self._kept[event_id] = seats
        return seats
