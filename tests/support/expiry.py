"""Holds that are about to expire, and what clients see of them."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from tests.support.factories import Event
from tests.support.service import Service

StartService = Callable[..., Service]


def buy(service: Service, path: str, order: dict[str, Any], token: str) -> tuple[str, float]:
    """Hold something. Return the reservation's id, and its end in seconds since the epoch."""
    answer = service.post(path, token=token, json=order)
    assert answer.status == 201, answer.body
    made = answer.json()["reservation"]
    expires_at = made.get("expires_at") or made["expiresAt"]
    return made["id"], datetime.fromisoformat(expires_at).timestamp()


def buy_seats(service: Service, event: Event, token: str, *seats: int) -> tuple[str, float]:
    """Hold these seats. Return the reservation's id and its end."""
    order = {"eventId": event.id, "seatIds": [event.seat_ids[seat] for seat in seats]}
    return buy(service, "/seats/reserve", order, token)


def buy_tickets(service: Service, event: Event, token: str) -> tuple[str, float]:
    """Hold three tickets. Return the reservation's id and its end."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 3}]
    return buy(service, "/reservations", {"eventId": event.id, "items": items}, token)


def states(database: Connection, event: Event) -> Counter[str]:
    """Count the reservations of the event by status."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT status, count(*) FROM reservations WHERE event_id = %s GROUP BY status",
            (event.id,),
        )
        return Counter(dict(cursor.fetchall()))


def taken(service: Service, event: Event) -> tuple[int, int, int]:
    """Return how many seats reads show as not available, and the stock by two reads."""
    seats = service.get(f"/seats/events/{event.id}").json()["seats"]
    [shown] = service.get(f"/tickets/event/{event.id}").json()["ticketTypes"]
    kept = service.get(f"/tickets/availability/{event.ticket_type_ids[0]}").json()
    not_free = [seat for seat in seats if seat["status"] != "available"]
    return len(not_free), shown["available_quantity"], kept["available_quantity"]


def inside(service: Service, event: Event, token: str) -> bool:
    """Whether the buyer is in the waiting room."""
    status: str = service.get(f"/queue/status/{event.id}", token=token).json()["status"]
    return {"active": True, "not_in_queue": False}[status]


def shown(service: Service, reservation_id: str, token: str) -> tuple[str, bool]:
    """Return the status of a reservation, and whether it is marked as expired."""
    seen = service.get(f"/reservations/{reservation_id}", token=token).json()["reservation"]
    return seen["status"], seen["isExpired"]


def last_stock(heard: Callable[[str], list[dict[str, Any]]]) -> set[int]:
    """Return what a browser last heard of the stock of the ticket types."""
    last = {told["ticketTypeId"]: told["availableQuantity"] for told in heard("ticket-updated")}
    return set(last.values())
