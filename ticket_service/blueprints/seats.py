"""Seats: layouts, the seat map, holding seats."""

from __future__ import annotations

from functools import partial
from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.common import IdempotencyHeader
from ticket_service.blueprints.schemas.seats import (
    LayoutList,
    SeatHoldAnswer,
    SeatMap,
    SeatReservationDetail,
    SeatReserve,
)
from ticket_service.http.access import public_document
from ticket_service.http.auth import signed_in
from ticket_service.http.described import BODY, answers
from ticket_service.http.limits import counts_as_hold
from ticket_service.http.openapi import BEARER
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Answer, Read, done, private

blueprint = Blueprint("seats", __name__, url_prefix="/api/v1/seats", description=__doc__)


@blueprint.route("/layouts")
@blueprint.doc(responses=answers(304))
@blueprint.response(200, LayoutList)
@public_document
def list_layouts() -> Read:
    """List the seat layouts, smallest first"""
    return services().catalogue.layouts


@blueprint.route("/events/<id:event_id>")
@blueprint.doc(responses=answers(304, 400, 404))
@blueprint.response(200, SeatMap)
@public_document
def get_seat_map(event_id: str) -> Read:
    """Get the seats of an event"""
    return partial(services().seat_maps.read, event_id)


@blueprint.route("/reserve", methods=["POST"])
@signed_in
@counts_as_hold
@blueprint.doc(security=BEARER, responses=answers(*BODY, 401, 403, 404, 409, 429))
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(SeatReserve())
@blueprint.response(201, SeatHoldAnswer)
def reserve_seats(user_id: str, headers: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Hold seats: all of them, or none"""
    reservation = services().seat_holds.reserve(
        user_id, body["eventId"], body["seatIds"], headers.get("idempotency_key")
    )
    return done("SEATS_HELD", reservation, 201)


@blueprint.route("/reservation/<id:reservation_id>")
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, SeatReservationDetail)
def get_seat_reservation(user_id: str, reservation_id: str) -> Answer:
    """Get a reservation and its seats"""
    return private(services().reservations.with_seats(user_id, reservation_id))
