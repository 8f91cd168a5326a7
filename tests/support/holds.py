"""Inserts many holds at once, with the same rows as the service writes."""

from collections.abc import Mapping

from psycopg2.extensions import connection as Connection

from tests.support.factories import Event

_MAKE_SEAT_HOLDS = """
    WITH wanted AS (
        SELECT s.id AS seat_id, s.price, gen_random_uuid() AS reservation_id
        FROM seats s WHERE s.id = ANY (%(ids)s::uuid[])
    ),
    reserved AS (
        INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount,
                                  expires_at)
        SELECT reservation_id, coalesce(%(user_id)s::uuid, gen_random_uuid()), %(event_id)s,
               reservation_id::text, price, %(now)s + make_interval(secs => %(seconds)s)
        FROM wanted
    ),
    lines AS (
        INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal)
        SELECT reservation_id, seat_id, 1, price, price FROM wanted
    ),
    taken AS (UPDATE seats s SET status = 'locked' FROM wanted WHERE s.id = wanted.seat_id)
    SELECT reservation_id::text FROM wanted
"""

_MAKE_TICKET_HOLDS = """
    WITH wanted AS (
        SELECT t.id AS ticket_type_id, t.price, gen_random_uuid() AS reservation_id
        FROM ticket_types t, generate_series(1, %(count)s)
        WHERE t.id = %(ids)s::uuid
    ),
    reserved AS (
        INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount,
                                  expires_at)
        SELECT reservation_id, coalesce(%(user_id)s::uuid, gen_random_uuid()), %(event_id)s,
               reservation_id::text, price * 2, %(now)s + make_interval(secs => %(seconds)s)
        FROM wanted
    ),
    lines AS (
        INSERT INTO reservation_items
            (reservation_id, ticket_type_id, quantity, unit_price, subtotal)
        SELECT reservation_id, ticket_type_id, 2, price, price * 2 FROM wanted
    ),
    taken AS (
        UPDATE ticket_types SET available_quantity = available_quantity - 2 * %(count)s
        WHERE id = %(ids)s::uuid
    )
    SELECT reservation_id::text FROM wanted
"""


def hold_seats(
    database: Connection,
    event: Event,
    seat_ids: list[str],
    seconds: float,
    user_id: str | None = None,
) -> list[str]:
    """Hold each seat in its own reservation, which ends so many seconds from now.

    Without `user_id` each has another user. Returns the ids of the reservations.
    """
    values = {"ids": seat_ids, "event_id": event.id, "user_id": user_id}
    return _make(database, _MAKE_SEAT_HOLDS, seconds, values)


def hold_tickets(
    database: Connection,
    event: Event,
    count: int,
    seconds: float,
    user_id: str | None = None,
) -> list[str]:
    """Make so many holds of two tickets of the first type; otherwise like `hold_seats`."""
    ticket_type_id = event.ticket_type_ids[0]
    values = {"ids": ticket_type_id, "count": count, "event_id": event.id, "user_id": user_id}
    return _make(database, _MAKE_TICKET_HOLDS, seconds, values)


def _make(
    database: Connection, query: str, seconds: float, values: Mapping[str, object]
) -> list[str]:
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
        [(now,)] = cursor.fetchall()
        cursor.execute(query, {**values, "seconds": seconds, "now": now})
        return [reservation_id for (reservation_id,) in cursor.fetchall()]
