"""What the other programs do to the shared tables (docs/contract.md, "The shared tables")."""

from psycopg2.extensions import connection as Connection


def pay(database: Connection, reservation_id: str) -> bool:
    """The Payment Service: confirm the reservation, unless it is paid or past its end.

    It does not look at the status, and its clock is the moment when its transaction began, which
    may have waited for a lock since. Says whether the reservation is paid now.
    """
    with database.cursor() as cursor:
        cursor.execute(
            """
            BEGIN;
            SELECT FROM reservations WHERE id = %(id)s FOR UPDATE;
            WITH paid AS (
                UPDATE reservations
                SET status = 'confirmed', payment_status = 'completed', payment_method = 'card'
                WHERE id = %(id)s AND payment_status <> 'completed'
                  AND expires_at > now() AT TIME ZONE 'UTC'
                RETURNING id
            )
            UPDATE seats SET status = 'reserved'
            FROM paid JOIN reservation_items i ON i.reservation_id = paid.id
            WHERE seats.id = i.seat_id;
            COMMIT;
            """,
            {"id": reservation_id},
        )
        cursor.execute("SELECT payment_status FROM reservations WHERE id = %s", (reservation_id,))
        return cursor.fetchone() == ("completed",)


def end(database: Connection, reservation_id: str) -> None:
    """Time: the hold's end has come."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE reservations SET expires_at = clock_timestamp() AT TIME ZONE 'UTC'"
            " WHERE id = %s AND status = 'pending'",
            (reservation_id,),
        )


def expire(database: Connection, reservation_id: str) -> None:
    """The monolith: release a hold that is past its end.

    It moves the end back, as this service does. Otherwise `pay`, whose clock stands still while it
    waits, could confirm what was released: a fault between those two programs, not of this one.
    """
    with database.cursor() as cursor:
        cursor.execute(
            """
            BEGIN;
            SELECT FROM reservations WHERE id = %(id)s FOR UPDATE;
            WITH expired AS (
                UPDATE reservations SET status = 'cancelled', expires_at = created_at
                WHERE id = %(id)s AND status = 'pending'
                  AND expires_at <= clock_timestamp() AT TIME ZONE 'UTC'
                RETURNING id
            ),
            seats_back AS (
                UPDATE seats SET status = 'available'
                FROM expired JOIN reservation_items i ON i.reservation_id = expired.id
                WHERE seats.id = i.seat_id
            )
            UPDATE ticket_types t SET available_quantity = available_quantity + i.quantity
            FROM expired JOIN reservation_items i ON i.reservation_id = expired.id
            WHERE t.id = i.ticket_type_id;
            COMMIT;
            """,
            {"id": reservation_id},
        )
