"""Events."""

from __future__ import annotations

from functools import partial
from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.events import EventDetail, EventList, EventListQuery
from ticket_service.http.access import public_document
from ticket_service.http.described import answers
from ticket_service.http.limits import AddressLimit, current_limits
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Read, current_environ
from ticket_service.services.catalogue import Catalogue, EventQuery
from ticket_service.stores.documents import Document

blueprint = Blueprint("events", __name__, url_prefix="/api/v1/events", description=__doc__)


@blueprint.route("")
@blueprint.doc(responses=answers(304, 400, 429))
@blueprint.arguments(EventListQuery(), location="query")
@blueprint.response(200, EventList)
@public_document
def list_events(query: dict[str, Any]) -> Read:
    """List the events by start of sale"""
    # Forms send an empty value for "all".
    query |= {"q": query["q"] or None, "status": query["status"] or None}
    searches = current_limits().searches
    return partial(_read_events, services().catalogue, searches, EventQuery(**query))


def _read_events(catalogue: Catalogue, searches: AddressLimit, query: EventQuery) -> Document:
    """Read a list. Raises TooManyFromAddress if it is one search too many that is not cached."""
    if catalogue.must_search(query):
        searches.hit(current_environ.get())
    return catalogue.events(query)


@blueprint.route("/<id:event_id>")
@blueprint.doc(responses=answers(304, 400, 404))
@blueprint.response(200, EventDetail)
@public_document
def get_event(event_id: str) -> Read:
    """Get an event and its ticket types"""
    return partial(services().catalogue.event, event_id)
