"""Reads which seats of an event are not available, as one short text."""

from __future__ import annotations

from typing import NamedTuple

from ticket_service.stores.postgres import Postgres, SqlScript

# Unsorted: sorting five thousand seats by section would take ten times as long.
_TAKEN = SqlScript(
    taken_seats="""
    SELECT count(*),
           coalesce(string_agg(id || left(status, 1), '') FILTER (WHERE status <> 'available'), '')
    FROM seats WHERE event_id = %(event_id)s
"""
)

_ID_LENGTH = 36

_STATUSES = {"l": "locked", "r": "reserved"}


class TakenSeats(NamedTuple):
    """The seats of an event."""

    total: int
    """How many seats the event has."""
    letters: dict[str, str]
    """The first letter of the status of each seat that is not available, by id."""

    def statuses(self) -> dict[str, str]:
        """Return the status of each seat that is not available, by id."""
        return {seat_id: _STATUSES[letter] for seat_id, letter in self.letters.items()}


def read_taken_seats(postgres: Postgres, event_id: str) -> TakenSeats:
    """Read the taken seats of an event. Raises ServiceUnavailable."""
    [(count, text)] = postgres.transaction(_TAKEN, {"event_id": event_id})
    starts = range(0, len(text), _ID_LENGTH + 1)
    letters = {text[at : at + _ID_LENGTH]: text[at + _ID_LENGTH] for at in starts}
    return TakenSeats(count, letters)
