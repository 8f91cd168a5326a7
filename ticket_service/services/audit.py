"""The audit: rules that seats, stock and reservations must satisfy at every moment.

It only reads, so it may run during a sale. Each rule is one statement with one snapshot, so a
change during the audit is no fault.
"""

from __future__ import annotations

from typing import Any

from ticket_service import metrics
from ticket_service.stores import deadline
from ticket_service.stores.postgres import Postgres, SqlScript

AUDIT_TIMEOUT_MS = 20_000
"""For each rule, since it reads whole tables. The audit has a connection of its own."""

GRACE_SECONDS = 5
"""Seconds within which an expired hold must be released."""

MAX_FAULTS = 100
"""Faults reported of each rule."""

# A reservation is live while it is pending or confirmed. Each query finds the violations of a rule.
RULES = {
    "a seat has two live reservations": """
        SELECT i.seat_id::text FROM reservation_items i
        JOIN reservations r ON r.id = i.reservation_id
        WHERE r.status IN ('pending', 'confirmed') AND i.seat_id IS NOT NULL
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
        GROUP BY i.seat_id HAVING count(*) > 1
    """,
    "a seat's status does not fit its live reservation": """
        SELECT s.id::text, s.status, live.status
        FROM seats s LEFT JOIN (
            SELECT i.seat_id, max(r.status) AS status
            FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
            WHERE r.status IN ('pending', 'confirmed') AND i.seat_id IS NOT NULL
              AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
            GROUP BY i.seat_id
        ) live ON live.seat_id = s.id
        WHERE s.status <> CASE live.status WHEN 'pending' THEN 'locked'
                                           WHEN 'confirmed' THEN 'reserved'
                                           ELSE 'available' END
          AND (%(event_id)s::uuid IS NULL OR s.event_id = %(event_id)s::uuid)
    """,
    "available and sold do not add up to the total": """
        SELECT t.id::text, t.available_quantity, t.total_quantity
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
        SELECT r.id::text, r.total_amount
        FROM reservations r LEFT JOIN reservation_items i ON i.reservation_id = r.id
        WHERE r.status IN ('pending', 'confirmed')
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
        GROUP BY r.id HAVING r.total_amount <> coalesce(sum(i.subtotal), -1)
    """,
    "a line's subtotal is not quantity times price": """
        SELECT i.id::text FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE i.subtotal <> i.quantity * i.unit_price AND r.status IN ('pending', 'confirmed')
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
    """,
    "a live hold is past its end": f"""
        SELECT r.id::text FROM reservations r
        WHERE r.status = 'pending' AND r.expires_at
              < statement_timestamp() AT TIME ZONE 'UTC' - interval '{GRACE_SECONDS} seconds'
          AND (%(event_id)s::uuid IS NULL OR r.event_id = %(event_id)s::uuid)
    """,
}

_SCRIPTS = {
    rule: SqlScript(**{f"audit_{number}": f"{query} LIMIT {MAX_FAULTS}"})
    for number, (rule, query) in enumerate(RULES.items())
}


class Audit:
    """Checks the rules."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def faults(self, event_id: str | None = None) -> list[dict[str, Any]]:
        """The violations in one event, or in all: `rule` and `row`, the values of the row found.

        Raises ServiceUnavailable.
        """
        deadline.lift()  # reading whole tables takes as long as it takes
        found = [
            {"rule": rule, "row": list(row)}
            for rule, script in _SCRIPTS.items()
            for row in self._postgres.transaction(script, {"event_id": event_id})
        ]
        metrics.AUDIT_FAULTS.set(len(found))
        return found
