"""Probes."""

from __future__ import annotations

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.health import Alive, Ready
from ticket_service.http.described import UNAVAILABLE_HEADERS, answers
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Answer, json_answer, private
from ticket_service.services.health import Readiness

blueprint = Blueprint("health", __name__, url_prefix="/health", description=__doc__)


@blueprint.route("")
@blueprint.doc(responses=answers())
@blueprint.response(200, Alive)
def get_health() -> Answer:
    """Check that the process answers"""
    return _alive()


@blueprint.route("/live")
@blueprint.doc(responses=answers())
@blueprint.response(200, Alive)
def get_live() -> Answer:
    """Check that the process answers; restart it if it does not"""
    return _alive()


def _alive() -> Answer:
    return private(orjson.dumps({"status": "ok", "service": "ticket-service"}))


@blueprint.route("/ready")
@blueprint.alt_response(500, "INTERNAL_SERVER_ERROR")
@blueprint.response(200, Ready)
@blueprint.alt_response(
    503,
    schema=Ready,
    description="PostgreSQL takes no writes, or stopping",
    headers=UNAVAILABLE_HEADERS,
)
def get_ready() -> Answer:
    """Check that requests can be served; send none if they cannot"""
    ready = services().health.readiness()
    body = {
        "status": _status(ready),
        "postgres": "ok" if ready.postgres else "unavailable",
        "redis": "ok" if ready.redis else "unavailable",
        "loops": ready.loops,
    }
    serving = ready.postgres and not ready.stopping
    headers = [] if serving else [("Retry-After", "1")]
    return json_answer(orjson.dumps(body), 200 if serving else 503, headers)


def metrics() -> Answer:
    """Serve the metrics for Prometheus. Not part of the API."""
    body = generate_latest()
    headers = [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))]
    return Answer(200, headers, body)


def _status(ready: Readiness) -> str:
    if ready.stopping:
        return "stopping"
    if not ready.postgres:
        return "unavailable"
    late = any(loop["late"] for loop in ready.loops)
    return "degraded" if late or not ready.redis else "ok"
