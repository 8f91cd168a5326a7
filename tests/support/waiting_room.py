"""Calls of the waiting room and of its gate, and what they leave."""

from tests.support.buyers import token_for
from tests.support.visitors import overview

UNKNOWN = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

CALLS = [
    ("POST", "/queue/check/{}"),
    ("GET", "/queue/status/{}"),
    ("POST", "/queue/heartbeat/{}"),
    ("POST", "/queue/leave/{}"),
    ("GET", "/queue/admin/{}"),
    ("PUT", "/queue/admin/{}"),
    ("POST", "/queue/admin/clear/{}"),
]


def send(service, method, path, role="user", **options):
    """A call of CALLS by someone new; a PUT has a good body unless another is given."""
    if method == "PUT" and not options:
        options = {"json": {"threshold": 5}}
    return service.request(method, f"/api/v1{path}", token=token_for(role=role), **options)


def buy_seat(service, event, token, key=None, seat=0):
    """One person tries to hold one seat; the answer."""
    body = {"eventId": event.id, "seatIds": event.seat_ids[seat : seat + 1]}
    headers = {"Idempotency-Key": key} if key else {}
    return service.post("/seats/reserve", token=token, json=body, headers=headers)


def buy_ticket(service, event, token, key=None):
    """One person tries to hold one ticket; the answer."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    headers = {"Idempotency-Key": key} if key else {}
    body = {"eventId": event.id, "items": items}
    return service.post("/reservations", token=token, json=body, headers=headers)


def keys_of(redis, event_id):
    """The names of all of an event's keys, in order."""
    return sorted(redis.scan_iter(f"*{event_id}*", count=1000))


def numbers(service, event_id):
    """People waiting and people inside."""
    seen = overview(service, event_id)
    return seen["queueSize"], seen["currentUsers"]
