"""Reserving tickets of an event that has two kinds of them."""

import pytest

from tests.support.buyers import token_for
from tests.support.factories import ticket


def reserve(service, event, *lines, token=None, key=None):
    """Reserve `lines`, pairs of the ticket type's position in the event and a quantity."""
    items = [{"ticketTypeId": event.ticket_type_ids[i], "quantity": n} for i, n in lines]
    return service.post(
        "/reservations",
        token=token or token_for(),
        json={"eventId": event.id, "items": items},
        headers={"Idempotency-Key": key} if key else {},
    )


def cancel(service, reservation_id, token):
    return service.post(f"/reservations/{reservation_id}/cancel", token=token)


def left(database, event):
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, available_quantity FROM ticket_types WHERE event_id = %s",
            (event.id,),
        )
        stock = dict(cursor.fetchall())
    return [stock[ticket_type_id] for ticket_type_id in event.ticket_type_ids]


@pytest.fixture
def floor_and_balcony(make_event):
    """A hundred tickets for the floor, and five for the balcony."""
    return make_event(
        tickets=[ticket("Floor", price=30_000, total=100), ticket("Balcony", 20_000, total=5)]
    )
