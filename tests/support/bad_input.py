"""Bad input, and good bodies to make bad ones of."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.factories import Event

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

MALFORMED_IDS = [
    "abc",
    UUID[:-1],
    UUID + "0",
    UUID.replace("0", "g"),
    UUID.replace("-", ""),
    UUID.replace("-", "_"),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
    f" {UUID}",
    f"{UUID}\n",
    f"{UUID}\0",
    "\0",
    "\N{ARABIC-INDIC DIGIT ONE}" * 8 + UUID[8:],
    "1 OR 1=1",
]

# For bodies only: a path cannot be empty, and has no types.
NOT_IDS: list[object] = [*MALFORMED_IDS, "", None, 5, True, [], {}, [UUID]]

PUBLIC_READS = [
    "/events/{}",
    "/tickets/event/{}",
    "/tickets/availability/{}",
    "/seats/events/{}",
]
OWN_READS = ["/seats/reservation/{}", "/reservations/{}"]
QUEUE_WRITES = [
    "/queue/check/{}",
    "/queue/heartbeat/{}",
    "/queue/leave/{}",
    "/queue/admin/clear/{}",
]


def seat_order(event: Event) -> dict[str, Any]:
    """A body that `POST /seats/reserve` would accept."""
    return {"eventId": event.id, "seatIds": event.seat_ids[:1]}


def ticket_order(event: Event) -> dict[str, Any]:
    """A body that `POST /reservations` would accept."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    return {"eventId": event.id, "items": items}


MakeOrder = Callable[[Event], dict[str, Any]]

ORDERS: list[tuple[str, MakeOrder]] = [
    ("/seats/reserve", seat_order),
    ("/reservations", ticket_order),
]

orders = pytest.mark.parametrize(("path", "order"), ORDERS, ids=["seats", "tickets"])
