"""Seats, layouts and seat reservations."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.common import Money, Time
from ticket_service.blueprints.schemas.reservations import ReservationBase
from ticket_service.http.fields import Id

SEAT_STATUSES = ("available", "locked", "reserved")


class Section(Schema):
    name = fields.String()
    rows = fields.Integer()
    seatsPerRow = fields.Integer()
    price = Money()
    startRow = fields.Integer()


class LayoutConfig(Schema):
    sections = fields.List(fields.Nested(Section))


class Layout(Schema):
    id = Id()
    name = fields.String()
    description = fields.String(allow_none=True)
    total_seats = fields.Integer()
    layout_config = fields.Nested(LayoutConfig)


class LayoutList(Schema):
    layouts = fields.List(fields.Nested(Layout))


class EventTitle(Schema):
    id = Id()
    title = fields.String()


class Seat(Schema):
    id = Id()
    section = fields.String()
    row_number = fields.Integer()
    seat_number = fields.Integer()
    seat_label = fields.String(metadata={"example": "VIP-1-5"})
    price = Money()
    status = fields.String(
        validate=validate.OneOf(SEAT_STATUSES),
        metadata={"description": "`locked`: held, not paid. `reserved`: paid."},
    )


class SeatMap(Schema):
    event = fields.Nested(EventTitle)
    layout = fields.Nested(LayoutConfig)
    seats = fields.List(fields.Nested(Seat))


class SeatReserve(Schema):
    eventId = Id(required=True)
    seatIds = fields.List(
        Id(),
        required=True,
        metadata={
            "description": "Each seat once, in upper or lower case. An amount over 2,147,483,647"
            " won: 400.",
            "minItems": 1,
            "uniqueItems": True,
            "settings": {"maxItems": "max_seats_per_reservation"},
        },
    )


class HeldSeat(Schema):
    id = Id()
    seat_label = fields.String()
    price = Money()
    status = fields.String(validate=validate.OneOf(SEAT_STATUSES))


class SeatHold(Schema):
    id = Id()
    reservationNumber = fields.String()
    totalAmount = Money()
    expiresAt = Time()
    seats = fields.List(fields.Nested(HeldSeat))


class SeatHoldAnswer(Schema):
    message = fields.String()
    reservation = fields.Nested(SeatHold)


class ReservedSeat(Schema):
    seatId = Id(allow_none=True)
    seatLabel = fields.String(allow_none=True)
    section = fields.String(allow_none=True)
    rowNumber = fields.Integer(allow_none=True)
    seatNumber = fields.Integer(allow_none=True)
    price = Money()
    ticketTypeName = fields.String(allow_none=True)
    quantity = fields.Integer()


class ReservationWithSeats(ReservationBase):
    seats = fields.List(fields.Nested(ReservedSeat))


class SeatReservationDetail(Schema):
    reservation = fields.Nested(ReservationWithSeats)
