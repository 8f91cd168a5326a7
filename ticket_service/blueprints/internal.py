"""For other services and for operators: payments, changed events and the audit."""

from __future__ import annotations

from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.internal import (
    AuditAnswer,
    Done,
    PaymentAnswer,
    PaymentNotice,
)
from ticket_service.http.auth import service_only, service_or_forbidden
from ticket_service.http.described import BODY, answers
from ticket_service.http.openapi import SERVICE
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Answer, answer, done, succeeded
from ticket_service.services.payments import Payment

blueprint = Blueprint("internal", __name__, url_prefix="/api/v1/internal", description=__doc__)

administration = Blueprint(
    "administration",
    __name__,
    url_prefix="/internal",
    description="For the administration service, at the address that it knows.",
)


@blueprint.route("/reservations/<id:reservation_id>/payment", methods=["POST"])
@service_only
@blueprint.doc(security=SERVICE, responses=answers(*BODY, 401, 403, 404, 409, 429))
@blueprint.arguments(PaymentNotice())
@blueprint.response(200, PaymentAnswer)
def record_payment(body: dict[str, Any], reservation_id: str) -> Answer:
    """Report that a payment of a reservation succeeded, failed or was refunded

    409 `RESERVATION_EXPIRED` with `details.refund`: the payment came too late, or the buyer has
    cancelled the reservation. Refund the payment, then report `refunded`.
    """
    payment = Payment(body["paymentId"], body["status"], body["paymentMethod"])
    return done("PAYMENT_NOTED", services().payments.record(reservation_id, payment))


@blueprint.route("/audit")
@service_only
@blueprint.doc(security=SERVICE, responses=answers(401, 403, 429))
@blueprint.response(200, AuditAnswer)
def get_audit() -> Answer:
    """Check that the books of all events balance"""
    return answer({"faults": services().audit.faults()})


@administration.route("/reschedule-event-status", methods=["POST"])
@service_or_forbidden
@administration.doc(security=SERVICE, responses=answers(403, 429))
@administration.response(200, Done)
def reschedule_event_status() -> Answer:
    """Tell that events were made or changed, so that all are looked at again

    Also without a token 403. A body is not looked at.
    """
    services().rescheduling.reschedule()
    return succeeded("EVENTS_LOOKED_AT")
