"""Probes."""

from __future__ import annotations

from marshmallow import Schema, fields, validate


class Alive(Schema):
    status = fields.String(metadata={"example": "ok"})
    service = fields.String(metadata={"example": "ticket-service"})


class Ready(Schema):
    status = fields.String(
        validate=validate.OneOf(["ok", "degraded", "unavailable", "stopping"]),
        metadata={"description": "`degraded`: without Redis, slower but safe."},
    )
    postgres = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
    redis = fields.String(validate=validate.OneOf(["ok", "unavailable"]))
