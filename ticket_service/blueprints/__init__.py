"""The calls under /api/v1, one file a resource. A route parses, calls one service, and answers."""

from __future__ import annotations

from flask import current_app

from ticket_service.wiring import Instance, Services


def services() -> Services:
    """The services of this application."""
    instance: Instance = current_app.extensions["ticket_service"]
    return instance.services
