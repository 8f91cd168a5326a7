"""The waiting room: who may buy now, and who is next."""

from __future__ import annotations

from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.queue import (
    Heartbeat,
    QueueCheck,
    QueueControl,
    QueueMessage,
    QueueOverview,
    QueuePlace,
)
from ticket_service.http.auth import admin_only, signed_in
from ticket_service.http.described import BODY, answers
from ticket_service.http.openapi import BEARER
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Answer, answer, say

blueprint = Blueprint("queue", __name__, url_prefix="/api/v1/queue", description=__doc__)


@blueprint.route("/check/<id:event_id>", methods=["POST"])
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, QueueCheck)
def check(user_id: str, event_id: str) -> Answer:
    """Enter, or take a place in line; keep the place if there is one"""
    return answer(services().waiting_room.check(user_id, event_id))


@blueprint.route("/status/<id:event_id>")
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, QueuePlace)
def get_status(user_id: str, event_id: str) -> Answer:
    """Get one's place; also a sign of life"""
    return answer(services().waiting_room.status(user_id, event_id))


@blueprint.route("/heartbeat/<id:event_id>", methods=["POST"])
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, Heartbeat)
def heartbeat(user_id: str, event_id: str) -> Answer:
    """Send a sign of life"""
    return answer(services().waiting_room.heartbeat(user_id, event_id))


@blueprint.route("/leave/<id:event_id>", methods=["POST"])
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, QueueMessage)
def leave(user_id: str, event_id: str) -> Answer:
    """Give up one's place, inside or in line"""
    services().waiting_room.leave(user_id, event_id)
    return say("QUEUE_LEFT")


@blueprint.route("/admin/<id:event_id>")
@admin_only
@blueprint.doc(security=BEARER, responses=answers(400, 401, 403, 404, 429))
@blueprint.response(200, QueueOverview)
def get_overview(event_id: str) -> Answer:
    """Get the state of a waiting room (administrators)"""
    return answer(services().waiting_room.overview(event_id))


@blueprint.route("/admin/<id:event_id>", methods=["PUT"])
@admin_only
@blueprint.doc(security=BEARER, responses=answers(*BODY, 401, 403, 404, 429))
@blueprint.arguments(QueueControl())
@blueprint.response(200, QueueOverview)
def control(body: dict[str, Any], event_id: str) -> Answer:
    """Set the threshold, pause or resume (administrators)"""
    return answer(
        services().waiting_room.control(
            event_id, threshold=body.get("threshold"), paused=body.get("paused")
        )
    )


@blueprint.route("/admin/clear/<id:event_id>", methods=["POST"])
@admin_only
@blueprint.doc(security=BEARER, responses=answers(400, 401, 403, 404, 429))
@blueprint.response(200, QueueMessage)
def clear(event_id: str) -> Answer:
    """Send everyone away, from the line and from inside (administrators)"""
    services().waiting_room.clear(event_id)
    return say("QUEUE_CLEARED")
