"""The statements that find and end holds past their end."""

from __future__ import annotations

from typing import NamedTuple

from ticket_service.stores.postgres import SqlScript

BATCH = 200
"""Holds in one transaction: it keeps the rows of their ticket types for some milliseconds."""

NO_EVENT = "00000000-0000-0000-0000-000000000000"
"""Stands for the event of a hold whose event was deleted."""

_EVENT = f"coalesce(event_id, '{NO_EVENT}')"

# Where migrations are off, an old CHECK may know no 'expired'.
_OVER = """
    SELECT CASE WHEN EXISTS (
        SELECT FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.conrelid = 'reservations'::regclass AND c.contype = 'c' AND a.attname = 'status'
          AND cardinality(c.conkey) = 1
          AND strpos(pg_get_constraintdef(c.oid), quote_literal('pending')) > 0
          AND strpos(pg_get_constraintdef(c.oid), quote_literal('expired')) = 0
    ) THEN 'cancelled' ELSE 'expired' END
"""

# The time is that of the statement, which an index can use.
_DUE = """
    status = 'pending' AND payment_status <> 'completed'
    AND expires_at <= statement_timestamp() AT TIME ZONE 'UTC'
    AND id <> ALL (%(failed)s::uuid[])
"""

OF_OTHERS = f"{_DUE} AND {_EVENT} <> ALL (%(aside)s::uuid[])"

# Not an EXISTS, which may be planned as a scan of all lines.
OF_ONE = f"""
    {_DUE} AND {_EVENT} = %(event_id)s::uuid
    AND (%(only)s::uuid IS NULL OR id = %(only)s::uuid)
    AND (cardinality(%(missed)s::uuid[]) = 0 OR NOT %(missed)s::uuid[] && ARRAY(
        SELECT unnest(ARRAY[seat_id, ticket_type_id]) FROM reservation_items
        WHERE reservation_id = reservations.id
    ))
"""

# Nothing is waited for, so the order of the locks does not matter. A hold ends if all its rows were
# had; what was locked of the others is free again at once. Like a cancellation, the end moves
# expires_at back, for a payment compares it with the time at which its own transaction began.
END = f"""
    WITH due AS MATERIALIZED (
        SELECT id, event_id, user_id, expires_at FROM reservations
        WHERE {{which}}
        ORDER BY expires_at LIMIT %(batch)s
        FOR UPDATE SKIP LOCKED
    ),
    lines AS MATERIALIZED (
        SELECT due.id AS reservation_id, i.seat_id, i.ticket_type_id, i.quantity
        FROM due JOIN reservation_items i ON i.reservation_id = due.id
    ),
    places AS MATERIALIZED (
        SELECT id FROM seats WHERE id IN (SELECT seat_id FROM lines) FOR UPDATE SKIP LOCKED
    ),
    types AS MATERIALIZED (
        SELECT id FROM ticket_types WHERE id IN (SELECT ticket_type_id FROM lines)
        FOR UPDATE SKIP LOCKED
    ),
    seen AS MATERIALIZED (
        SELECT lines.*,
               places.id IS NULL AND EXISTS (SELECT FROM seats WHERE id = lines.seat_id)
                   AS seat_missed,
               types.id IS NULL AND EXISTS (SELECT FROM ticket_types WHERE id = ticket_type_id)
                   AS type_missed
        FROM lines LEFT JOIN places ON places.id = seat_id
        LEFT JOIN types ON types.id = ticket_type_id
    ),
    holds AS MATERIALIZED (
        SELECT due.id,
               coalesce(array_agg(seat_id::text) FILTER (WHERE seat_id IS NOT NULL), '{{{{}}}}')
                   AS seat_ids,
               count(ticket_type_id) > 0 AS has_tickets,
               coalesce(array_agg(seat_id::text) FILTER (WHERE seat_missed), '{{{{}}}}')
                   AS missed_seats,
               coalesce(array_agg(ticket_type_id::text) FILTER (WHERE type_missed), '{{{{}}}}')
                   AS missed_types
        FROM due LEFT JOIN seen ON seen.reservation_id = due.id
        GROUP BY due.id
    ),
    whole AS MATERIALIZED (
        SELECT id FROM holds WHERE cardinality(missed_seats) + cardinality(missed_types) = 0
    ),
    ended AS (
        UPDATE reservations r SET status = ({_OVER}), expires_at = r.created_at
        FROM whole WHERE r.id = whole.id
    ),
    seats_back AS (
        UPDATE seats s SET status = 'available'
        FROM lines JOIN whole ON whole.id = lines.reservation_id WHERE s.id = lines.seat_id
    ),
    stock_back AS (
        UPDATE ticket_types t SET available_quantity = t.available_quantity + back.quantity
        FROM (
            SELECT ticket_type_id, sum(quantity) AS quantity
            FROM lines JOIN whole ON whole.id = lines.reservation_id
            GROUP BY ticket_type_id
        ) back
        WHERE t.id = back.ticket_type_id
    )
    SELECT {_EVENT}::text, user_id::text,
           extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - expires_at)::float,
           seat_ids, has_tickets, missed_seats, missed_types
    FROM due JOIN holds USING (id)
"""

END_HOLDS = SqlScript(end_holds=END.format(which=OF_OTHERS))

_END_OF_ONE = END.format(which=OF_ONE)

END_APART = SqlScript(end_apart=_END_OF_ONE)

# The buyers of a ticket type hardly ever leave its row alone, so it is waited for like they do,
# while nothing else is locked.
END_AFTER_WAIT = SqlScript(
    wait_briefly="SELECT set_config('lock_timeout', %(wait_ms)s::text, true)",
    wait_for_ticket_type="SELECT FROM ticket_types WHERE id = %(type_id)s::uuid FOR UPDATE",
    end_apart=_END_OF_ONE,
)

DUE_OF_ONE = SqlScript(
    due_holds=f"SELECT id::text FROM reservations WHERE {OF_ONE} ORDER BY expires_at LIMIT {BATCH}"
)

DUE_EVENTS = SqlScript(
    due_events=f"SELECT DISTINCT {_EVENT}::text FROM reservations WHERE {OF_OTHERS}"
)

OVERDUE = SqlScript(
    overdue=f"""
    SELECT coalesce(extract(epoch FROM
        statement_timestamp() AT TIME ZONE 'UTC' - min(expires_at))::float, 0)
    FROM reservations WHERE {OF_OTHERS}
"""
)


class Due(NamedTuple):
    """A hold that was due: it was ended, unless rows of it were missed."""

    event_id: str
    user_id: str
    lag: float
    """Seconds after its end."""
    seat_ids: list[str]
    has_tickets: bool
    missed_seats: list[str]
    missed_types: list[str]

    @property
    def ended(self) -> bool:
        """Whether all its rows were had."""
        return not self.missed_seats and not self.missed_types
