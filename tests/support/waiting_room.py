"""Calls of the waiting room and its gate, and their effects."""

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
    """Make a call of CALLS as a new person. A PUT has a valid body unless another is given."""
    if method == "PUT" and not options:
        options = {"json": {"threshold": 5}}
    return service.request(method, f"/api/v1{path}", token=token_for(role=role), **options)


def buy_seat(service, event, token, key=None, seat=0):
    """Try to hold one seat, and return the answer."""
    body = {"eventId": event.id, "seatIds": event.seat_ids[seat : seat + 1]}
    headers = {"Idempotency-Key": key} if key else {}
    return service.post("/seats/reserve", token=token, json=body, headers=headers)


def buy_ticket(service, event, token, key=None):
    """Try to hold one ticket, and return the answer."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    headers = {"Idempotency-Key": key} if key else {}
    body = {"eventId": event.id, "items": items}
    return service.post("/reservations", token=token, json=body, headers=headers)


def keys_of(redis, event_id):
    """Return the names of all keys of an event, sorted."""
    return sorted(redis.scan_iter(f"*{event_id}*", count=1000))


def numbers(service, event_id):
    """Return how many people are in line, and how many inside."""
    seen = overview(service, event_id)
    return seen["queueSize"], seen["currentUsers"]
