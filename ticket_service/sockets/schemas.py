"""What browsers send over Socket.IO."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields, validate

from ticket_service.http.fields import Id


class OfEvent(Schema):
    class Meta:
        unknown = EXCLUDE  # today's browser code sends more than docs/contract.md says

    eventId = Id(required=True)


class JoinSeats(OfEvent):
    version = fields.String(load_default=None, allow_none=True)


class SeatSelection(OfEvent):
    seats = fields.List(Id(), required=True, validate=validate.Length(max=100))
