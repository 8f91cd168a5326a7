"""Payments that the Payment Service reports to us, instead of writing the tables itself.

One transaction records the payment, and confirms the reservation or cancels it. A payment for a
hold that is over takes the same seats and tickets if all are still available. Otherwise it must be
refunded.

A refund is due for a payment that came too late (sql/record_payment.sql), and for the payment of a
reservation that the buyer cancelled (sql/cancel.sql). Each is a row of ticket_service_payments
with the verdict REFUND_DUE. The verdict becomes REFUNDED when the Payment Service reports the
refund (sql/record_refund.sql). Only the Payment Service sets a reservation's payment_status to
`refunded`: by that report, or in the table itself.
"""

from __future__ import annotations

import time
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
    """The verdicts of record_payment.sql and record_refund.sql, which explain them."""

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
    """A payment as the Payment Service reports it."""

    payment_id: str
    status: str
    """`completed`, `failed` or `refunded`."""
    method: str | None


class _Recorded(NamedTuple):
    """The row that record_payment.sql and record_refund.sql return."""

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
        """Whether the payment must be refunded. A repeat gets the same answer as before."""
        first = self.first_verdict if self.verdict == PaymentVerdict.REPEATED else self.verdict
        return first == PaymentVerdict.REFUND_DUE

    @property
    def change(self) -> Change:
        """What the report changed. A buyer who has paid leaves the waiting room."""
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

    def shown(self, reservation_id: str) -> dict[str, Any]:
        """Return the reservation in the shape of the API, with statuses as clients see them
        (services/sql.py)."""
        status = "cancelled" if self.status == "expired" else self.status
        unpaid = status == "cancelled" and self.payment_status == "pending"
        payment_status = "failed" if unpaid else self.payment_status
        return {"id": reservation_id, "status": status, "paymentStatus": payment_status}


class Payments:
    """Records payments."""

    def __init__(
        self,
        postgres: Postgres,
        after_write: AfterWrite,
    ) -> None:
        self._postgres = postgres
        self._after_write = after_write

    def record(self, reservation_id: str, payment: Payment) -> dict[str, Any]:
        """Confirm the reservation, cancel it, or record its refund. A repeat changes nothing.

        Returns the reservation's id and its new statuses. Raises ReservationNotFound,
        PaymentReused, RefundDue (the payment is recorded all the same), ServiceUnavailable.
        """
        event_id = event_of(self._postgres, reservation_id)
        since = time.monotonic()
        with self._after_write.changing(event_id):
            recorded = self._record(reservation_id, payment, event_id)
        self._after_write.tell(event_id, recorded.change, since=since)
        return recorded.shown(reservation_id)

    def _record(self, reservation_id: str, payment: Payment, event_id: str | None) -> _Recorded:
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
        recorded = _Recorded(PaymentVerdict(verdict), *others)
        if recorded.verdict == PaymentVerdict.REUSED:
            raise PaymentReused
        if recorded.verdict == PaymentVerdict.REFUND_DUE:
            metrics.REFUNDS_DUE.inc()
        if recorded.refund_due:
            refund = {
                "reservationId": reservation_id,
                "paymentId": payment.payment_id,
                "amount": recorded.amount,
            }
            raise RefundDue({"refund": refund})
        return recorded
