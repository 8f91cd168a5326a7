"""What the Payment Service tells us about a reservation, instead of writing the tables itself.

In one transaction: the payment is remembered, and the reservation confirmed or given back. A
payment for a hold that is over gets the same seats and tickets if all are still free; else it is
remembered as one to be given back (refunds.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ticket_service import metrics
from ticket_service.errors import PaymentReused, RefundDue, ReservationNotFound
from ticket_service.realtime.announcer import Announcer
from ticket_service.services.admissions import Admissions
from ticket_service.services.refunds import NOTE_REFUND, unnamed
from ticket_service.services.reservations import event_of
from ticket_service.stores.postgres import Postgres, SqlScript
from ticket_service.stores.versions import Versions

_LOCK_PAYMENT = """
    SELECT pg_advisory_xact_lock(hashtextextended('ticket-service:payment:' || %(payment_id)s, 0))
"""

# In the order of holds.py.
_LOCK_RESERVATION = """
    SELECT id FROM reservations WHERE id = %(reservation_id)s::uuid FOR UPDATE
"""

_LOCK_SEATS = """
    SELECT s.id FROM seats s JOIN reservation_items i ON i.seat_id = s.id
    WHERE i.reservation_id = %(reservation_id)s::uuid
    ORDER BY s.id FOR UPDATE OF s
"""

_DECIDE = f"""
    WITH types AS MATERIALIZED (
        SELECT t.id, t.available_quantity FROM ticket_types t
        WHERE t.id IN (SELECT ticket_type_id FROM reservation_items
                       WHERE reservation_id = %(reservation_id)s::uuid)
        ORDER BY t.id FOR UPDATE
    ),
    lines AS (
        SELECT ticket_type_id, sum(quantity) AS quantity FROM reservation_items
        WHERE reservation_id = %(reservation_id)s::uuid AND ticket_type_id IS NOT NULL
        GROUP BY ticket_type_id
    ),
    own_seats AS (
        SELECT s.id, s.status FROM seats s JOIN reservation_items i ON i.seat_id = s.id
        WHERE i.reservation_id = %(reservation_id)s::uuid
    ),
    reservation AS (
        SELECT id, event_id, user_id, status, payment_status, total_amount FROM reservations
        WHERE id = %(reservation_id)s::uuid
    ),
    earlier AS (
        SELECT verdict, reservation_id, status FROM ticket_service_payments
        WHERE payment_id = %(payment_id)s::text
    ),
    refund AS (
        SELECT id FROM ticket_service_payments
        WHERE payment_id = {unnamed("(%(reservation_id)s::uuid)::text")} AND status = 'cancelled'
    ),
    verdict AS (
        SELECT CASE
            WHEN EXISTS (SELECT FROM earlier
                         WHERE reservation_id <> %(reservation_id)s::uuid) THEN 'REUSED'
            WHEN EXISTS (SELECT FROM earlier WHERE status = %(status)s::text) THEN 'REPEATED'
            WHEN %(status)s::text = 'failed' THEN
                CASE WHEN r.status = 'pending' THEN 'FREED' ELSE 'NOTED' END
            WHEN EXISTS (SELECT FROM earlier WHERE status = 'refunded') THEN 'NOTED'
            WHEN EXISTS (SELECT FROM refund) THEN 'ADOPTED'
            WHEN r.status = 'pending' THEN 'CONFIRMED'
            WHEN r.status = 'confirmed' AND r.payment_status <> 'completed' THEN 'CONFIRMED'
            WHEN r.status = 'confirmed' AND NOT EXISTS (
                SELECT FROM ticket_service_payments
                WHERE reservation_id = r.id AND status = 'completed') THEN 'ADOPTED'
            WHEN r.status IN ('expired', 'cancelled')
                AND r.payment_status NOT IN ('completed', 'refunded')
                AND NOT EXISTS (SELECT FROM events e
                                WHERE e.id = r.event_id AND e.status = 'cancelled')
                AND NOT EXISTS (SELECT FROM reservation_items i WHERE i.reservation_id = r.id
                                AND i.seat_id IS NULL AND i.ticket_type_id IS NULL)
                AND NOT EXISTS (SELECT FROM own_seats WHERE status <> 'available')
                AND NOT EXISTS (SELECT FROM lines LEFT JOIN types ON types.id = ticket_type_id
                                WHERE coalesce(available_quantity, 0) < quantity)
                AND (EXISTS (SELECT FROM own_seats) OR EXISTS (SELECT FROM lines))
                THEN 'TAKEN_AGAIN'
            ELSE 'REFUND_DUE'
        END AS code
        FROM reservation r
    ),
    noted AS (
        INSERT INTO ticket_service_payments
            (payment_id, status, reservation_id, payment_method, amount, verdict)
        SELECT %(payment_id)s::text, %(status)s::text, r.id, %(payment_method)s::text,
               r.total_amount, verdict.code
        FROM verdict, reservation r
        WHERE verdict.code NOT IN ('REUSED', 'REPEATED')
    ),
    named AS (
        UPDATE ticket_service_payments due SET payment_id = %(payment_id)s::text
        FROM verdict, refund
        WHERE due.id = refund.id AND verdict.code = 'ADOPTED'
    ),
    changed AS (
        UPDATE reservations r SET
            status = CASE verdict.code WHEN 'FREED' THEN 'cancelled' ELSE 'confirmed' END,
            payment_status = CASE verdict.code WHEN 'FREED' THEN 'failed' ELSE 'completed' END,
            payment_method = %(payment_method)s::text,
            expires_at = CASE verdict.code WHEN 'FREED' THEN r.created_at ELSE r.expires_at END
        FROM verdict
        WHERE r.id = %(reservation_id)s::uuid
          AND verdict.code IN ('FREED', 'CONFIRMED', 'TAKEN_AGAIN')
        RETURNING r.status, r.payment_status
    ),
    seats_changed AS (
        UPDATE seats s
        SET status = CASE verdict.code WHEN 'FREED' THEN 'available' ELSE 'reserved' END
        FROM verdict, own_seats
        WHERE s.id = own_seats.id AND verdict.code IN ('FREED', 'CONFIRMED', 'TAKEN_AGAIN')
    ),
    stock_changed AS (
        UPDATE ticket_types t SET available_quantity = t.available_quantity
            + CASE verdict.code WHEN 'FREED' THEN lines.quantity ELSE -lines.quantity END
        FROM verdict, lines JOIN types ON types.id = lines.ticket_type_id
        WHERE t.id = types.id AND verdict.code IN ('FREED', 'TAKEN_AGAIN')
    )
    SELECT verdict.code, (SELECT verdict FROM earlier WHERE status = %(status)s::text),
           r.user_id::text, r.total_amount, coalesce((SELECT status FROM changed), r.status),
           coalesce((SELECT payment_status FROM changed), r.payment_status),
           ARRAY(SELECT id::text FROM own_seats),
           EXISTS (SELECT FROM lines)
    FROM verdict, reservation r
"""

RECORD_PAYMENT = SqlScript(
    lock_payment=_LOCK_PAYMENT,
    lock_paid_reservation=_LOCK_RESERVATION,
    lock_paid_seats=_LOCK_SEATS,
    record_payment=_DECIDE,
)


RECORD_REFUND = SqlScript(
    lock_payment=_LOCK_PAYMENT, lock_paid_reservation=_LOCK_RESERVATION, record_refund=NOTE_REFUND
)

_PAID = ("CONFIRMED", "TAKEN_AGAIN", "ADOPTED")
"""Verdicts by which the buyer has paid for what they have."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What the Payment Service says."""

    payment_id: str
    status: str
    """`completed`, `failed` or `refunded`."""
    method: str | None


class _Noted(NamedTuple):
    """What became of a notice."""

    code: str
    before: str | None
    """The verdict on it when it was told first, if this is not the first time."""
    buyer_id: str
    amount: int
    status: str
    payment_status: str
    seat_ids: list[str]
    has_tickets: bool

    @property
    def verdict(self) -> str | None:
        return self.before if self.code == "REPEATED" else self.code


class Payments:
    """Takes note of payments."""

    def __init__(
        self,
        postgres: Postgres,
        versions: Versions,
        admissions: Admissions,
        announcer: Announcer,
    ) -> None:
        self._postgres = postgres
        self._versions = versions
        self._admissions = admissions
        self._announcer = announcer

    def record(self, reservation_id: str, payment: Payment) -> dict[str, Any]:
        """Confirm the reservation, give it back, or note its refund; said again, nothing changes.

        Raises ReservationNotFound, PaymentReused, RefundDue (which is remembered),
        ServiceUnavailable.
        """
        event_id = event_of(self._postgres, reservation_id)
        with self._versions.changing(event_id):
            noted = self._note(reservation_id, payment, event_id)
        if event_id is not None:
            self._tell(event_id, noted)
        return {
            "id": reservation_id,
            "status": noted.status,
            "paymentStatus": noted.payment_status,
        }

    def _note(self, reservation_id: str, payment: Payment, event_id: str | None) -> _Noted:
        rows = self._postgres.transaction(
            RECORD_REFUND if payment.status == "refunded" else RECORD_PAYMENT,
            {
                "reservation_id": reservation_id,
                "payment_id": payment.payment_id,
                "status": payment.status,
                "payment_method": payment.method,
            },
            group=event_id,
        )
        if not rows:
            raise ReservationNotFound
        noted = _Noted(*rows[0])
        if noted.code == "REUSED":
            raise PaymentReused
        if noted.code == "REFUND_DUE":
            metrics.REFUNDS_DUE.inc()
        if noted.verdict == "REFUND_DUE":
            refund = {
                "reservationId": reservation_id,
                "paymentId": payment.payment_id,
                "amount": noted.amount,
            }
            raise RefundDue({"refund": refund})
        return noted

    def _tell(self, event_id: str, noted: _Noted) -> None:
        if noted.code in ("FREED", "CONFIRMED", "TAKEN_AGAIN"):
            self._announcer.inventory_changed(
                event_id,
                noted.seat_ids,
                "available" if noted.code == "FREED" else "reserved",
                stock=noted.has_tickets and noted.code != "CONFIRMED",
            )
        if noted.code in _PAID:
            self._admissions.end_stays(event_id, [noted.buyer_id])
