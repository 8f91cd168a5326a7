"""The payloads of the messages that browsers send over Socket.IO."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from ticket_service.http.fields import Id


class EventMessage(Schema):
    """About an event."""

    class Meta:
        unknown = EXCLUDE  # the existing browser client sends more than docs/contract.md says

    eventId = Id(required=True)


class JoinSeats(EventMessage):
    """`version`: that of the seats which the client has, from an earlier answer."""

    version = fields.String(load_default=None, allow_none=True)


class SeatSelection(EventMessage):
    """`seats`: the ids of all seats that are chosen now."""

    seats = fields.List(Id(), required=True)
