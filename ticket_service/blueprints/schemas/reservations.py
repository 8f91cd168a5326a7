"""Reservations."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.common import Money, Page, Time
from ticket_service.http.fields import Id, QueryNumber, WholeNumber

RESERVATION_STATUSES = ("pending", "confirmed", "cancelled")
PAYMENT_STATUSES = ("pending", "completed", "failed", "refunded")


class TicketLine(Schema):
    ticketTypeId = Id(required=True)
    quantity = WholeNumber(
        required=True,
        metadata={
            "minimum": 1,
            "settings": {"maximum": "max_tickets_per_reservation"},
            "sentence": {"message": "BAD_QUANTITY"},
        },
    )


class TicketReserve(Schema):
    eventId = Id(required=True)
    items = fields.List(
        fields.Nested(TicketLine),
        required=True,
        validate=validate.Length(max=100),
        metadata={
            "minItems": 1,
            "description": "Lines with the same ticket type are merged, and"
            " the limit of one line applies to their sum. An amount over 2,147,483,647 won: 400.",
        },
    )


class HeldLine(Schema):
    ticketTypeId = Id()
    ticketTypeName = fields.String()
    quantity = fields.Integer()
    unitPrice = Money()
    subtotal = Money()


class TicketHold(Schema):
    id = Id()
    reservationNumber = fields.String()
    eventTitle = fields.String()
    totalAmount = Money()
    status = fields.String(validate=validate.OneOf(RESERVATION_STATUSES))
    paymentStatus = fields.String(validate=validate.OneOf(PAYMENT_STATUSES))
    expiresAt = Time()
    items = fields.List(fields.Nested(HeldLine))


class TicketHoldAnswer(Schema):
    message = fields.String()
    reservation = fields.Nested(TicketHold)


class MyReservationsQuery(Page):
    """Without `page` and `limit`: the newest hundred."""

    limit = QueryNumber(load_default=100, validate=validate.Range(min=1, max=100))


class MyLine(Schema):
    ticketTypeName = fields.String(
        allow_none=True, metadata={"description": "Of a seat, its label."}
    )
    quantity = fields.Integer()
    unitPrice = Money()
    subtotal = Money()
    seatLabel = fields.String(allow_none=True)


class ReservationSummary(Schema):
    id = Id()
    reservation_number = fields.String()
    total_amount = Money()
    status = fields.String(
        validate=validate.OneOf(RESERVATION_STATUSES),
        metadata={"description": "A hold is `cancelled` as soon as its time is over."},
    )
    payment_status = fields.String(
        validate=validate.OneOf(PAYMENT_STATUSES),
        metadata={"description": "`failed` if it was cancelled and never paid."},
    )
    created_at = Time()
    expires_at = Time(allow_none=True)
    event_title = fields.String(allow_none=True)
    venue = fields.String(allow_none=True)
    event_date = Time(allow_none=True)


class MyReservation(ReservationSummary):
    items = fields.List(fields.Nested(MyLine))


class MyReservations(Schema):
    reservations = fields.List(fields.Nested(MyReservation))


class ReservationBase(ReservationSummary):
    payment_method = fields.String(allow_none=True)
    event_id = Id(allow_none=True)
    isExpired = fields.Boolean()


class ReservationLine(MyLine):
    seatId = Id(allow_none=True)
    section = fields.String(allow_none=True)
    rowNumber = fields.Integer(allow_none=True)
    seatNumber = fields.Integer(allow_none=True)


class ReservationWithItems(ReservationBase):
    address = fields.String(allow_none=True)
    items = fields.List(fields.Nested(ReservationLine))


class ReservationDetail(Schema):
    reservation = fields.Nested(ReservationWithItems)


class Cancelled(Schema):
    id = Id()
    status = fields.String(validate=validate.OneOf(["cancelled"]))


class CancelAnswer(Schema):
    message = fields.String()
    reservation = fields.Nested(Cancelled)
