"""The application factory."""

from __future__ import annotations

from flask import Flask

from ticket_service.blueprints import (
    events,
    health,
    internal,
    queue,
    reservations,
    seats,
    ticket_types,
)
from ticket_service.blueprints.health import metrics
from ticket_service.config import Settings
from ticket_service.http.auth import init_auth
from ticket_service.http.direct import DirectLane
from ticket_service.http.edge import Edge
from ticket_service.http.errors import init_errors
from ticket_service.http.limits import EXTENSION as LIMITS
from ticket_service.http.openapi import init_openapi
from ticket_service.http.parsing import init_requests
from ticket_service.server.connections import MAX_SOCKETS_SHARE, places
from ticket_service.wiring import Instance


def create_app(settings: Settings) -> Flask:
    """Make the application. It connects to nothing yet; stores/schema.py must have checked the
    database."""
    app = Flask(__name__, static_folder=None)
    init_requests(app)
    init_errors(app)
    api = init_openapi(app, settings)
    for resource in (events, ticket_types, seats, reservations, queue, internal, health):
        api.register_blueprint(resource.blueprint)
    api.register_blueprint(internal.administration)
    app.add_url_rule("/metrics", view_func=metrics)
    http = app.wsgi_app
    instance = app.extensions["ticket_service"] = Instance(app, settings)
    init_auth(app, settings, instance.verifier)
    app.extensions[LIMITS] = instance.limits
    edge = Edge(
        http,
        DirectLane(app),
        instance.sockets,
        allowed_origins=settings.frontend_urls,
        max_sockets=int(places() * MAX_SOCKETS_SHARE),
        admin_port=settings.admin_port,
    )
    app.wsgi_app = edge  # type: ignore[method-assign]
    return app
