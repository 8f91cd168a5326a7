"""What the Payment Service tells us about a reservation, instead of writing the tables itself.

In one transaction: the payment is remembered, and the reservation confirmed or given back. A
payment for a hold that is over gets the same seats and tickets if all are still free; else it must
be given back.

So a refund is due for a payment that came too late (sql/record_payment.sql), and for the payment of
a reservation that the buyer cancelled (sql/cancel.sql). Each is a row of ticket_service_payments
whose verdict is REFUND_DUE until the Payment Service tells that it gave the money back
(sql/record_refund.sql); then it is REFUNDED. Only the Payment Service makes a reservation's
payment_status `refunded`: by telling us, or in the table itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ticket_service import metrics
from ticket_service.errors import PaymentReused, RefundDue, ReservationNotFound
from ticket_service.services.after_write import AfterWrite, Change
from ticket_service.services.event_of import event_of
from ticket_service.stores.postgres import Postgres, SqlScript

RECORD_PAYMENT = SqlScript.from_file("record_payment")
RECORD_REFUND = SqlScript.from_file("record_refund")


class PaymentVerdict(StrEnum):
    """The verdicts of record_payment.sql and record_refund.sql; what they mean stands there."""

    REUSED = "REUSED"
    REPEATED = "REPEATED"
    FREED = "FREED"
    NOTED = "NOTED"
    ADOPTED = "ADOPTED"
    CONFIRMED = "CONFIRMED"
    TAKEN_AGAIN = "TAKEN_AGAIN"
    REFUND_DUE = "REFUND_DUE"
    REFUNDED = "REFUNDED"


@dataclass(frozen=True, slots=True)
class Payment:
    """What the Payment Service says."""

    payment_id: str
    status: str
    """`completed`, `failed` or `refunded`."""
    method: str | None


class _Noted(NamedTuple):
    """The row of record_payment.sql, and of record_refund.sql."""

    verdict: PaymentVerdict
    first_verdict: str | None
    buyer_id: str
    amount: int
    status: str
    payment_status: str
    seat_ids: list[str]
    has_tickets: bool

    @property
    def refund_due(self) -> bool:
        """Whether the payment must be given back, also if we said so before."""
        said = self.first_verdict if self.verdict == PaymentVerdict.REPEATED else self.verdict
        return said == PaymentVerdict.REFUND_DUE

    @property
    def change(self) -> Change:
        """What the notice changed; who has paid has nothing more to do inside."""
        match self.verdict:
            case PaymentVerdict.FREED:
                return Change(self.seat_ids, "available", stock=self.has_tickets)
            case PaymentVerdict.CONFIRMED:
                return Change(self.seat_ids, "reserved", leaving=[self.buyer_id])
            case PaymentVerdict.TAKEN_AGAIN:
                return Change(self.seat_ids, "reserved", self.has_tickets, [self.buyer_id])
            case PaymentVerdict.ADOPTED:
                return Change(leaving=[self.buyer_id])
            case _:
                return Change()


class Payments:
    """Takes note of payments."""

    def __init__(
        self,
        postgres: Postgres,
        after_write: AfterWrite,
    ) -> None:
        self._postgres = postgres
        self._after_write = after_write

    def record(self, reservation_id: str, payment: Payment) -> dict[str, Any]:
        """Confirm the reservation, give it back, or note its refund; said again, nothing changes.

        Raises ReservationNotFound, PaymentReused, RefundDue (which is remembered),
        ServiceUnavailable.
        """
        event_id = event_of(self._postgres, reservation_id)
        with self._after_write.changing(event_id):
            noted = self._note(reservation_id, payment, event_id)
        self._after_write.tell(event_id, noted.change)
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
        verdict, *others = rows[0]
        noted = _Noted(PaymentVerdict(verdict), *others)
        if noted.verdict == PaymentVerdict.REUSED:
            raise PaymentReused
        if noted.verdict == PaymentVerdict.REFUND_DUE:
            metrics.REFUNDS_DUE.inc()
        if noted.refund_due:
            refund = {
                "reservationId": reservation_id,
                "paymentId": payment.payment_id,
                "amount": noted.amount,
            }
            raise RefundDue({"refund": refund})
        return noted
