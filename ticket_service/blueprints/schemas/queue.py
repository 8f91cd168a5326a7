"""The waiting room."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from ticket_service.blueprints.schemas.common import Time
from ticket_service.config import THRESHOLDS
from ticket_service.http.fields import Flag, Id, WholeNumber

QUEUE_STATUSES = ("queued", "active", "not_in_queue")


class QueuePlace(Schema):
    queued = fields.Boolean(metadata={"description": "Whether the person must wait."})
    status = fields.String(
        validate=validate.OneOf(QUEUE_STATUSES),
        metadata={"description": "`active`: inside, and may buy."},
    )
    position = fields.Integer(metadata={"description": "From 1; 0 unless queued."})
    estimatedWait = fields.Integer(
        metadata={"description": "Seconds, by the rate at which places come free; 0 unless queued."}
    )
    queueSize = fields.Integer(metadata={"description": "People in line."})
    currentUsers = fields.Integer(metadata={"description": "People inside."})
    threshold = fields.Integer(metadata={"description": "People who may be inside at once."})
    stayEndsAt = Time(
        allow_none=True,
        description="When the stay inside ends at the latest, despite signs of life; null unless"
        " active. To stay longer, enter again with POST /api/v1/queue/check/{event_id}.",
    )


class EventInfo(Schema):
    title = fields.String()
    artist = fields.String(allow_none=True)


class QueueCheck(QueuePlace):
    eventInfo = fields.Nested(EventInfo)


class Heartbeat(Schema):
    status = fields.String(validate=validate.OneOf(QUEUE_STATUSES))
    queued = fields.Boolean()


class QueueMessage(Schema):
    message = fields.String()


class QueueControl(Schema):
    class Meta:
        openapi: ClassVar = {"minProperties": 1}

    threshold = WholeNumber(
        validate=THRESHOLDS,
        metadata={
            "description": "A lower one sends nobody away: it applies to those who come next.",
            "sentence": {"message": "BAD_THRESHOLD", "limit": f"{THRESHOLDS.max:,}"},
        },
    )
    paused = Flag(metadata={"description": "True keeps the line and admits nobody."})

    @validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Give threshold, paused, or both.")


class QueueOverview(Schema):
    eventId = Id()
    queueSize = fields.Integer(metadata={"description": "People in line."})
    currentUsers = fields.Integer(metadata={"description": "People inside."})
    threshold = fields.Integer(metadata={"description": "People who may be inside at once."})
    available = fields.Integer(metadata={"description": "Free places inside."})
    paused = fields.Boolean()
    admissionRate = fields.Float(
        metadata={
            "description": "People whom the event can admit each second: the places that came free"
            " while people waited, or at first the threshold divided by the length of a stay."
        }
    )
    longestWait = fields.Integer(
        metadata={"description": "Seconds that the first in line has waited."}
    )
