"""Events."""

from __future__ import annotations

from functools import partial
from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.events import EventDetail, EventList, EventListQuery
from ticket_service.http.access import public_document
from ticket_service.http.described import answers
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Read
from ticket_service.services.catalogue import EventQuery

blueprint = Blueprint("events", __name__, url_prefix="/api/v1/events", description=__doc__)


@blueprint.route("")
@blueprint.doc(responses=answers(304, 400))
@blueprint.arguments(EventListQuery(), location="query")
@blueprint.response(200, EventList)
@public_document
def list_events(query: dict[str, Any]) -> Read:
    """List the events by start of sale"""
    # Forms send an empty value for "all".
    query |= {"q": query["q"] or None, "status": query["status"] or None}
    return partial(services().catalogue.events, EventQuery(**query))


@blueprint.route("/<id:event_id>")
@blueprint.doc(responses=answers(304, 400, 404))
@blueprint.response(200, EventDetail)
@public_document
def get_event(event_id: str) -> Read:
    """Get an event and its ticket types"""
    return partial(services().catalogue.event, event_id)
