"""Reservations: holding tickets, one's own reservations, cancelling."""

from __future__ import annotations

from typing import Any

from ticket_service.blueprints import services
from ticket_service.blueprints.schemas.common import IdempotencyHeader
from ticket_service.blueprints.schemas.reservations import (
    CancelAnswer,
    MyReservations,
    MyReservationsQuery,
    ReservationDetail,
    TicketHoldAnswer,
    TicketReserve,
)
from ticket_service.http.auth import signed_in
from ticket_service.http.described import BODY, answers
from ticket_service.http.limits import counts_as_hold
from ticket_service.http.openapi import BEARER
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import Answer, done, private

blueprint = Blueprint(
    "reservations", __name__, url_prefix="/api/v1/reservations", description=__doc__
)


@blueprint.route("", methods=["POST"])
@signed_in
@counts_as_hold
@blueprint.doc(security=BEARER, responses=answers(*BODY, 401, 403, 404, 409, 429))
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(TicketReserve())
@blueprint.response(201, TicketHoldAnswer)
def reserve_tickets(user_id: str, headers: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Hold tickets: all lines, or none"""
    items = [(line["ticketTypeId"], line["quantity"]) for line in body["items"]]
    reservation = services().ticket_holds.reserve(
        user_id, body["eventId"], items, headers.get("idempotency_key")
    )
    return done("TICKETS_HELD", reservation, 201)


@blueprint.route("/my")
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 429))
@blueprint.arguments(MyReservationsQuery(), location="query")
@blueprint.response(200, MyReservations)
def list_my_reservations(user_id: str, query: dict[str, Any]) -> Answer:
    """List one's own reservations, newest first"""
    return private(services().reservations.mine(user_id, query["page"], query["limit"]))


@blueprint.route("/<id:reservation_id>")
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 429))
@blueprint.response(200, ReservationDetail)
def get_reservation(user_id: str, reservation_id: str) -> Answer:
    """Get a reservation and its lines"""
    return private(services().reservations.with_items(user_id, reservation_id))


@blueprint.route("/<id:reservation_id>/cancel", methods=["POST"])
@signed_in
@blueprint.doc(security=BEARER, responses=answers(400, 401, 404, 409, 429))
@blueprint.response(200, CancelAnswer)
def cancel_reservation(user_id: str, reservation_id: str) -> Answer:
    """Cancel a reservation, paid or not

    Possible until the event begins; then 409 `CANCELLATION_CLOSED`. The payment of a paid one will
    be refunded: its `payment_status` stays `completed` until then, and becomes `refunded`.
    """
    refund_due = services().reservations.cancel(user_id, reservation_id)
    message = "CANCELLED_AND_REFUND_DUE" if refund_due else "RESERVATION_CANCELLED"
    return done(message, {"id": reservation_id, "status": "cancelled"})
