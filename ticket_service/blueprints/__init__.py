"""The HTTP calls, one file per resource. A route parses, calls one service, and responds."""

from __future__ import annotations

from flask import current_app

from ticket_service.wiring import Instance, Services


def services() -> Services:
    """Return the services of this application."""
    instance: Instance = current_app.extensions["ticket_service"]
    return instance.services
