"""A call is answered alike in front of Flask and by Flask.

`Basic …, Bearer …` is a header that only Flask's side reads. So the same call is made with it, and
with the header of browsers. tests/unit/test_direct.py shows which side answers.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from tests.support.buyers import token_for
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.service import Response, Service
from tests.support.wire import check_soon

Call = tuple[str, str, bytes | None, dict[str, str]]

JSON = {"Content-Type": "application/json"}

VARYING = {"date", "x-request-id"}


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=9)], tickets=[ticket()])


def order(event: Event, **changes: Any) -> bytes:
    return json.dumps({"eventId": event.id, "seatIds": event.seat_ids[:1], **changes}).encode()


def lines(event: Event, **changes: Any) -> bytes:
    line = {"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}
    return json.dumps({"eventId": event.id, "items": [line | changes]}).encode()


CALLS: dict[str, Callable[[Event], Call]] = {
    "check": lambda event: ("POST", f"/queue/check/{event.id}", None, {}),
    "status": lambda event: ("GET", f"/queue/status/{event.id.upper()}", None, {}),
    "heartbeat": lambda event: ("POST", f"/queue/heartbeat/{event.id}", None, {}),
    "leave in English": lambda event: (
        *("POST", f"/queue/leave/{event.id}", None),
        {"Accept-Language": "en"},
    ),
    "no such event": lambda event: ("POST", f"/queue/check/{uuid4()}", None, {}),
    "another method": lambda event: ("DELETE", f"/queue/check/{event.id}", None, {}),
    "only the head": lambda event: ("HEAD", f"/queue/status/{event.id}", None, {}),
    "what is allowed": lambda event: ("OPTIONS", f"/queue/status/{event.id}", None, {}),
    "a malformed id": lambda event: ("POST", f"/queue/check/{event.id}0", None, {}),
    "the placeholder": lambda event: ("POST", "/queue/check/%3Cid%3E", None, {}),
    "too many ids": lambda event: ("POST", f"/queue/check/{event.id}/{event.id}", None, {}),
    "my": lambda event: ("GET", "/reservations/my?page=2&limit=3", None, {}),
    "my with gzip": lambda event: ("GET", "/reservations/my", None, {"Accept-Encoding": "gzip"}),
    "page zero": lambda event: ("GET", "/reservations/my?page=0", None, {}),
    "no such reservation": lambda event: ("GET", f"/reservations/{uuid4()}", None, {}),
    "no such seats": lambda event: ("GET", f"/seats/reservation/{uuid4()}", None, {}),
    "nothing to cancel": lambda event: ("POST", f"/reservations/{uuid4()}/cancel", None, {}),
    "the gateway's spelling": lambda event: (
        "POST",
        "/reservations/",
        lines(event, quantity=99),
        JSON,
    ),
    "too many tickets": lambda event: ("POST", "/reservations", lines(event, quantity=99), JSON),
    "an unknown field": lambda event: ("POST", "/seats/reserve", order(event, more=1), JSON),
    "not an object": lambda event: ("POST", "/seats/reserve", b"[]", JSON),
    "not JSON": lambda event: ("POST", "/seats/reserve", b"{", JSON),
    "no body": lambda event: ("POST", "/seats/reserve", None, JSON),
    "of another type": lambda event: ("POST", "/seats/reserve", order(event), {}),
    "too large": lambda event: ("POST", "/seats/reserve", b'"' + b"x" * 70_000 + b'"', JSON),
    "a bad key": lambda event: (
        *("POST", "/seats/reserve", order(event)),
        JSON | {"Idempotency-Key": "ü" * 300},
    ),
}


def shown(answer: Response) -> tuple[int, Mapping[str, str], Any]:
    """What must be the same."""
    headers = {
        name.lower(): value for name, value in answer.headers.items() if name.lower() not in VARYING
    }
    try:
        body = json.loads(answer.body)
        body.pop("requestId", None)
    except ValueError:
        body = answer.body
    return answer.status, headers, body


def log_line(service: Service, request_id: str) -> dict[str, Any]:
    """The line of a request, without its times."""

    def found() -> list[dict[str, Any]]:
        return [line for line in service.log_lines() if line.get("request_id") == request_id]

    check_soon(lambda: len(found()), 1)
    [line] = found()
    return {name: line.get(name) for name in ("message", "method", "route", "status", "user_id")}


@pytest.mark.parametrize("name", CALLS)
def test_both_sides_answer_and_log_alike(service: Service, event: Event, name: str):
    method, path, body, headers = CALLS[name](event)
    token = token_for()
    sent = [f"Bearer {token}", f"Basic dXNlcjpwYXNz, Bearer {token}"]
    answers, logged = [], []
    for authorization in sent:
        request_id = uuid4().hex
        answer = service.request(
            method,
            "/api/v1" + path,
            body=body,
            headers=headers | {"Authorization": authorization, "X-Request-ID": request_id},
        )
        answers.append(shown(answer))
        logged.append(log_line(service, request_id))
    assert answers[0] == answers[1]
    assert logged[0] == logged[1]


@pytest.mark.parametrize("path", ["/seats/reserve", "/reservations"])
def test_both_sides_hold_and_find_the_hold_again(service: Service, event: Event, path: str):
    token, key = token_for(), {"Idempotency-Key": str(uuid4())}
    body = order(event) if path.startswith("/seats") else lines(event)
    for repeated in (key, {"Idempotency-Key": str(uuid4())}):
        direct = {"Authorization": f"Bearer {token}"}
        flask = {"Authorization": f"Basic dXNlcjpwYXNz, Bearer {token}"}
        if repeated is not key:
            direct, flask = flask, direct
            body = order(event, seatIds=event.seat_ids[1:2]) if path.startswith("/seats") else body
        first, second = (
            service.post(path, body=body, headers=JSON | repeated | authorization)
            for authorization in (direct, flask)
        )
        assert first.status == 201
        assert shown(first) == shown(second)
