"""Events and ticket types."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.common import Money, Page, Time
from ticket_service.http.fields import Id, Text

STATUSES = ("upcoming", "on_sale", "sold_out", "ended", "cancelled")


class EventListQuery(Page):
    status = fields.String(load_default="", validate=validate.OneOf(("", *STATUSES)))
    q = Text(
        load_default="",
        validate=validate.Length(max=255),
        metadata={
            "description": "Part of a title, artist, venue or address, in either language.",
            "sentence": {"message": "SEARCH_TOO_LONG", "limit": 255},
        },
    )


class EventSummary(Schema):
    id = Id()
    title = fields.String()
    description = fields.String(allow_none=True)
    venue = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    event_date = Time()
    sale_start_date = Time()
    sale_end_date = Time()
    poster_image_url = fields.String(allow_none=True)
    status = fields.String(validate=validate.OneOf(STATUSES))
    artist_name = fields.String(allow_none=True)
    ticket_type_count = fields.Integer()
    min_price = fields.Integer(allow_none=True)
    max_price = fields.Integer(allow_none=True)


class Pagination(Schema):
    page = fields.Integer()
    limit = fields.Integer()
    total = fields.Integer()
    totalPages = fields.Integer()


class EventList(Schema):
    events = fields.List(fields.Nested(EventSummary))
    pagination = fields.Nested(Pagination)


class Event(EventSummary):
    seat_layout_id = Id(allow_none=True)
    created_at = Time()
    updated_at = Time()


class TicketType(Schema):
    id = Id()
    name = fields.String()
    price = Money()
    total_quantity = fields.Integer()
    available_quantity = fields.Integer()
    description = fields.String(allow_none=True)


class EventDetail(Schema):
    event = fields.Nested(Event)
    ticketTypes = fields.List(fields.Nested(TicketType))


class TicketTypeList(Schema):
    ticketTypes = fields.List(fields.Nested(TicketType))


class Availability(Schema):
    available_quantity = fields.Integer()
    total_quantity = fields.Integer()
