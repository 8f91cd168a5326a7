"""Probes."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ticket_service.blueprints.schemas.common import Time


class Alive(Schema):
    status = fields.String(metadata={"example": "ok"})
    service = fields.String(metadata={"example": "ticket-service"})


class LoopState(Schema):
    """How a loop of this instance goes."""

    name = fields.String()
    lastRun = Time(allow_none=True)
    seconds = fields.Float(metadata={"description": "The last run took."})
    done = fields.Integer(metadata={"description": "Things done since the start."})
    failures = fields.Integer(metadata={"description": "Runs that failed since the start."})
    lag = fields.Float(
        allow_none=True,
        metadata={"description": "Seconds since the last good run; null where a run has no end."},
    )
    late = fields.Boolean(metadata={"description": "That is too long ago."})


class Ready(Schema):
    status = fields.String(
        validate=validate.OneOf(["ok", "degraded", "unavailable", "stopping"]),
        metadata={"description": "`degraded`: it sells, but without Redis, or a loop is late."},
    )
    postgres = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
    redis = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
    loops = fields.List(fields.Nested(LoopState))
