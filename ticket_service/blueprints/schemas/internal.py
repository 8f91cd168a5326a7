"""What other services send, and the audit."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.reservations import PAYMENT_STATUSES, RESERVATION_STATUSES
from ticket_service.http.fields import Id, Text


class PaymentNotice(Schema):
    status = fields.String(
        required=True, validate=validate.OneOf(["completed", "failed", "refunded"])
    )
    paymentMethod = Text(load_default=None, allow_none=True, validate=validate.Length(max=50))
    paymentId = Text(
        required=True,
        validate=validate.Length(min=1, max=255),
        metadata={
            "description": "A repeat with the same status changes nothing.",
            "pattern": r"^[^\x00]*\S[^\x00]*$",
        },
    )


class PaidReservation(Schema):
    id = Id()
    status = fields.String(validate=validate.OneOf(RESERVATION_STATUSES))
    paymentStatus = fields.String(validate=validate.OneOf(PAYMENT_STATUSES))


class PaymentAnswer(Schema):
    message = fields.String()
    reservation = fields.Nested(PaidReservation)


class Done(Schema):
    success = fields.Boolean(metadata={"example": True})
    message = fields.String()


class Fault(Schema):
    rule = fields.String()
    row = fields.List(fields.Raw())


class AuditAnswer(Schema):
    faults = fields.List(
        fields.Nested(Fault), metadata={"description": "Empty if the books balance."}
    )
