"""The queries of the expiry for holds that expired. sql/expire.sql ends them."""

from __future__ import annotations

from typing import NamedTuple

from ticket_service.stores.postgres import SqlScript

BATCH = 200
"""Holds in one transaction, which locks the rows of their ticket types for some milliseconds."""

NO_EVENT = "00000000-0000-0000-0000-000000000000"
"""The event id of a hold whose event was deleted."""

_EVENT = f"coalesce(event_id, '{NO_EVENT}')"

# The same condition as in sql/expire.sql. statement_timestamp() is stable, so an index can be used.
_DUE = """
    status = 'pending' AND payment_status <> 'completed'
    AND expires_at <= statement_timestamp() AT TIME ZONE 'UTC'
    AND id <> ALL (%(failed)s::uuid[])
"""

_OF_OTHERS = f"{_DUE} AND {_EVENT} <> ALL (%(aside)s::uuid[])"

DUE_OF_ONE = SqlScript(
    due_holds=f"""
    SELECT id::text FROM reservations
    WHERE {_DUE} AND {_EVENT} = %(event_id)s::uuid
      AND (cardinality(%(missed)s::uuid[]) = 0 OR NOT %(missed)s::uuid[] && ARRAY(
          SELECT unnest(ARRAY[seat_id, ticket_type_id]) FROM reservation_items
          WHERE reservation_id = reservations.id
      ))
    ORDER BY expires_at LIMIT {BATCH}
"""
)

DUE_EVENTS = SqlScript(
    due_events=f"SELECT DISTINCT {_EVENT}::text FROM reservations WHERE {_OF_OTHERS}"
)

OVERDUE = SqlScript(
    overdue=f"""
    SELECT coalesce(extract(epoch FROM
        statement_timestamp() AT TIME ZONE 'UTC' - min(expires_at))::float, 0)
    FROM reservations WHERE {_OF_OTHERS}
"""
)


class Due(NamedTuple):
    """A hold that was due. It has ended, unless some of its rows were locked (*missed*)."""

    event_id: str
    buyer_id: str
    lag: float
    """Seconds since it expired."""
    seat_ids: list[str]
    has_tickets: bool
    missed_seats: list[str]
    missed_types: list[str]

    @property
    def ended(self) -> bool:
        """Whether all its rows could be locked."""
        return not self.missed_seats and not self.missed_types
