"""Calls over HTTP whose effects sockets hear, and a check of what they hear."""

import jwt

from tests.support.buyers import token_for
from tests.support.wire import is_time


def user_of(token):
    """Return the id of the token's owner."""
    return jwt.decode(token, options={"verify_signature": False})["userId"]


def hold(service, event, seats, token=None):
    """Hold seats, and return the reservation's id."""
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat] for seat in seats]}
    answer = service.post("/seats/reserve", token=token or token_for(), json=body)
    assert answer.status == 201, answer.json()
    return answer.json()["reservation"]["id"]


def hold_tickets(service, event, quantity=1, token=None):
    """Hold tickets of the first type, and return the reservation's id."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    body = {"eventId": event.id, "items": items}
    answer = service.post("/reservations", token=token or token_for(), json=body)
    assert answer.status == 201, answer.json()
    return answer.json()["reservation"]["id"]


def cancel(service, reservation_id, token):
    """Cancel the reservation as its buyer."""
    answer = service.post(f"/reservations/{reservation_id}/cancel", token=token)
    assert answer.status == 200, answer.json()


def control(service, event, **settings):
    """Set `threshold`, `paused` or both, as an admin."""
    token = token_for(role="admin")
    assert (
        service.request("PUT", f"/api/v1/queue/admin/{event.id}", token=token, json=settings).status
        == 200
    )


def check_payload(payload, **expected):
    """Fail unless the payload has exactly these keys and a timestamp."""
    assert payload == {**expected, "timestamp": payload.get("timestamp")}
    assert is_time(payload["timestamp"])
