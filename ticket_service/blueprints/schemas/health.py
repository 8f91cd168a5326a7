"""Probes."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.common import Time


class Alive(Schema):
    status = fields.String(metadata={"example": "ok"})
    service = fields.String(metadata={"example": "ticket-service"})


class LoopState(Schema):
    """The state of a loop of this instance."""

    name = fields.String()
    lastRun = Time(allow_none=True)
    seconds = fields.Float(metadata={"description": "How long the last run took."})
    done = fields.Integer(metadata={"description": "Things done since the start."})
    failures = fields.Integer(metadata={"description": "Runs that failed since the start."})
    lag = fields.Float(
        allow_none=True,
        metadata={"description": "Seconds since the last good run; null if a run never ends."},
    )
    late = fields.Boolean(metadata={"description": "Whether that is too long ago."})


class Ready(Schema):
    status = fields.String(
        validate=validate.OneOf(["ok", "degraded", "unavailable", "stopping"]),
        metadata={"description": "`degraded`: it can sell, but Redis is away or a loop is late."},
    )
    postgres = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
    redis = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
    loops = fields.List(fields.Nested(LoopState))
