"""Which event a reservation is of."""

from __future__ import annotations

from ticket_service.errors import ReservationNotFound
from ticket_service.stores.postgres import Postgres, SqlScript

_EVENT_OF = SqlScript(
    event_of_reservation="""
    SELECT event_id::text FROM reservations WHERE id = %(reservation_id)s
"""
)


def event_of(postgres: Postgres, reservation_id: str) -> str | None:
    """The event of a reservation; None where that was deleted.

    To be asked before a change, whose answer may get lost: then the event's version is changed all
    the same. And the change waits with those of its event.

    Raises ReservationNotFound, ServiceUnavailable.
    """
    rows = postgres.transaction(_EVENT_OF, {"reservation_id": reservation_id})
    if not rows:
        raise ReservationNotFound
    event_id: str | None = rows[0][0]
    return event_id
