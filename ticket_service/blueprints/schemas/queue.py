"""The waiting room."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from ticket_service.blueprints.schemas.common import Time
from ticket_service.config import THRESHOLDS
from ticket_service.http.fields import Flag, Id, WholeNumber

QUEUE_STATUSES = ("queued", "active", "not_in_queue")


class QueuePlace(Schema):
    queued = fields.Boolean(metadata={"description": "Whether one has to wait."})
    status = fields.String(
        validate=validate.OneOf(QUEUE_STATUSES),
        metadata={"description": "`active`: inside, and may buy."},
    )
    position = fields.Integer(metadata={"description": "From 1; 0 unless queued."})
    estimatedWait = fields.Integer(
        metadata={
            "description": "Seconds, from the pace at which places come free; 0 unless queued."
        }
    )
    queueSize = fields.Integer(metadata={"description": "People who wait."})
    currentUsers = fields.Integer(metadata={"description": "People inside."})
    threshold = fields.Integer(metadata={"description": "People who may be inside at once."})
    stayEndsAt = Time(
        allow_none=True,
        description="When the stay inside ends at the latest, whatever signs of life there are;"
        " null unless active. To go on after it, enter again with POST"
        " /api/v1/queue/check/{event_id}.",
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
            "description": "A lower one sends nobody away: it holds for those who come next."
        },
    )
    paused = Flag(metadata={"description": "A pause keeps the line and admits nobody."})

    @validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Give threshold, paused, or both.")


class QueueOverview(Schema):
    eventId = Id()
    queueSize = fields.Integer(metadata={"description": "People who wait."})
    currentUsers = fields.Integer(metadata={"description": "People inside."})
    threshold = fields.Integer(metadata={"description": "People who may be inside at once."})
    available = fields.Integer(metadata={"description": "Places free inside."})
    paused = fields.Boolean()
    admissionRate = fields.Float(
        metadata={
            "description": "People a second whom the event can admit: places that came free while"
            " people waited; before there were enough of them, threshold by length of a stay."
        }
    )
    longestWait = fields.Integer(
        metadata={"description": "Seconds that the first in line has waited."}
    )
