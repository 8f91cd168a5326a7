"""What the other programs do to the shared tables (docs/contract.md, "The shared tables")."""

from psycopg2.extensions import connection as Connection


def pay(database: Connection, reservation_id: str) -> bool:
    """Confirm the reservation as the Payment Service does, unless it is paid or past its end.

    It ignores the status, and compares with the time when its transaction began, perhaps before it
    waited for a lock. Returns whether the reservation is paid now.
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
    """Let the hold reach its end."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE reservations SET expires_at = clock_timestamp() AT TIME ZONE 'UTC'"
            " WHERE id = %s AND status = 'pending'",
            (reservation_id,),
        )


def expire(database: Connection, reservation_id: str) -> None:
    """Release a hold that is past its end, as another program does.

    It sets `expires_at` back, as this service does. Otherwise `pay`, which compares with the start
    of its transaction, could confirm a released hold: a fault of those two programs, not of ours.
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
