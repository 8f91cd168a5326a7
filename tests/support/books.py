"""The books: what must be true of seats, stock and reservations at every moment."""

from psycopg2.extensions import connection as Connection

from tests.support.factories import Event

# A reservation is live while it is pending or confirmed. Each query finds the violations of a rule.
RULES = {
    "a seat has two live reservations": """
        SELECT i.seat_id FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE r.status IN ('pending', 'confirmed') AND i.seat_id IS NOT NULL
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
        GROUP BY i.seat_id HAVING count(*) > 1
    """,
    "a seat's status does not fit its live reservation": """
        SELECT s.id, s.status, live.status
        FROM seats s LEFT JOIN (
            SELECT i.seat_id, r.status
            FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
            WHERE r.status IN ('pending', 'confirmed')
        ) live ON live.seat_id = s.id
        WHERE s.status <> CASE live.status WHEN 'pending' THEN 'locked'
                                           WHEN 'confirmed' THEN 'reserved'
                                           ELSE 'available' END
          AND (%(event_id)s::uuid IS NULL OR s.event_id = %(event_id)s::uuid)
    """,
    "available and sold do not add up to the total": """
        SELECT t.id, t.available_quantity, t.total_quantity
        FROM ticket_types t LEFT JOIN (
            SELECT i.ticket_type_id, sum(i.quantity) AS quantity
            FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
            WHERE r.status IN ('pending', 'confirmed')
            GROUP BY i.ticket_type_id
        ) live ON live.ticket_type_id = t.id
        WHERE (t.available_quantity + coalesce(live.quantity, 0) <> t.total_quantity
               OR t.available_quantity < 0)
          AND (%(event_id)s::uuid IS NULL OR t.event_id = %(event_id)s::uuid)
    """,
    "a reservation's amount is not the sum of its lines": """
        SELECT r.id, r.total_amount
        FROM reservations r LEFT JOIN reservation_items i ON i.reservation_id = r.id
        WHERE %(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid
        GROUP BY r.id HAVING r.total_amount <> coalesce(sum(i.subtotal), -1)
    """,
    "a line's subtotal is not quantity times price": """
        SELECT i.id FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE i.subtotal <> i.quantity * i.unit_price
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
    """,
}


def faults(database: Connection, event: Event | None = None) -> list[str]:
    """Every violation, in one event or in the whole database, with the offending row."""
    parameters = {"event_id": event.id if event else None}
    found = []
    with database.cursor() as cursor:
        for rule, query in RULES.items():
            cursor.execute(query, parameters)
            found += [f"{rule}: {row}" for row in cursor.fetchall()]
    return found


def check_books(database: Connection, event: Event | None = None) -> None:
    """Fail unless the books balance. Any test may call this at any moment."""
    assert faults(database, event) == []
