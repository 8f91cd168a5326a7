"""Ticket types and their stock."""

from __future__ import annotations

from functools import partial

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.events import Availability, TicketTypeList
from ticket_service.http.access import public_document
from ticket_service.http.described import answers
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Read

blueprint = Blueprint("ticket types", __name__, url_prefix="/api/v1/tickets", description=__doc__)


@blueprint.route("/event/<id:event_id>")
@blueprint.doc(responses=answers(304, 400, 404))
@blueprint.response(200, TicketTypeList)
@public_document
def list_ticket_types(event_id: str) -> Read:
    """List the ticket types of an event, dearest first"""
    return partial(services().catalogue.ticket_types, event_id)


@blueprint.route("/availability/<id:ticket_type_id>")
@blueprint.doc(responses=answers(304, 400, 404))
@blueprint.response(200, Availability)
@public_document
def get_availability(ticket_type_id: str) -> Read:
    """Get how many tickets of a type are left"""
    return partial(services().catalogue.availability, ticket_type_id)
