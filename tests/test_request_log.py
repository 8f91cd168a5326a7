"""Request ids, and the one line that every request leaves in the log."""

import json
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.buyers import token_for
from tests.support.factories import MakeEvent, section, ticket
from tests.support.service import Service
from tests.support.tokens import UUID
from tests.support.wire import check_soon

# Request ids


@pytest.mark.parametrize(
    "sent",
    ["x", "0af7651916cd43dd", "885ab2e1-d6b2-4a74-a619-c76a5b6b85bf", "a.B_c:d-9", "x" * 128],
)
def test_a_well_formed_request_id_is_taken(service: Service, sent: str):
    for path in ("/health", "/api/v1/events", "/api/v1/nothing", "/api/v1/reservations/my"):
        answer = service.request("GET", path, headers={"X-Request-ID": sent})
        assert answer.headers["X-Request-ID"] == sent


@pytest.mark.parametrize(
    "sent", [None, "", " ", "two words", "x" * 129, "a,b", '"x"', "<script>", "é", "a\tb", "{}"]
)
def test_any_other_request_id_is_replaced(service: Service, sent: str | None):
    headers = {} if sent is None else {"X-Request-ID": sent}
    made = {
        service.request("GET", "/health", headers=headers).headers["X-Request-ID"] for _ in range(2)
    }
    assert len(made) == 2
    assert all(re.fullmatch("[A-Za-z0-9._:-]{16,128}", request_id) for request_id in made)


def test_every_kind_of_answer_has_its_request_id(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()], tickets=[ticket()])
    order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    etag = service.get(f"/events/{event.id}").headers["ETag"]
    preflight = {"Origin": "https://x.example", "Access-Control-Request-Method": "GET"}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/events/{event.id}", {"headers": {"If-None-Match": etag}}),
        ("HEAD", f"/events/{event.id}", {}),
        ("OPTIONS", "/events", {"headers": preflight}),
        ("POST", "/seats/reserve", {"token": token_for(), "json": order}),
        ("POST", "/seats/reserve", {"token": token_for(), "json": order}),
        ("POST", "/seats/reserve", {"token": token_for(), "json": {}}),
        ("POST", "/seats/reserve", {}),
        ("GET", "/nothing", {}),
        ("DELETE", "/events", {}),
    ]
    statuses = []
    for method, path, options in requests:
        request_id = uuid4().hex
        headers = {**options.get("headers", {}), "X-Request-ID": request_id}
        answer = service.request(method, f"/api/v1{path}", **{**options, "headers": headers})
        assert answer.headers["X-Request-ID"] == request_id
        statuses.append(answer.status)
    assert statuses == [304, 200, 204, 201, 409, 400, 401, 404, 405]


# Log lines


def log_line(service: Service, request_id: str) -> dict[str, Any]:
    """The one line of a request that was just answered."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in service.log_lines() if line.get("request_id") == request_id]

    check_soon(lambda: len(lines()) > 0, True)
    service.request("GET", "/health")  # a second line would be out by the end of this
    [line] = lines()
    return line


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/health", "/health", 200),
        ("GET", "/api/v1/events?q=x", "/api/v1/events", 200),
        ("GET", f"/api/v1/events/{UUID}", "/api/v1/events/<id:event_id>", 404),
        ("GET", "/api/v1/events/x", "/api/v1/events/<id:event_id>", 400),
        ("HEAD", "/api/v1/events", "/api/v1/events", 200),
        ("POST", "/api/v1/seats/reserve", "/api/v1/seats/reserve", 401),
        ("POST", "/api/v1/events", None, 405),
        ("GET", "/api/v1/nothing", None, 404),
    ],
)
def test_a_request_is_one_line_in_the_log(
    service: Service, method: str, path: str, route: str | None, status: int
):
    for _ in range(2):  # the second time, a document comes from the fast lane
        request_id, start = uuid4().hex, time.monotonic()
        assert service.request(method, path, headers={"X-Request-ID": request_id}).status == status
        line = log_line(service, request_id)
        assert (line["method"], line["route"], line["status"]) == (method, route, status)
        assert 0 < line["duration_ms"] < (time.monotonic() - start) * 1000
        assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])) < timedelta(seconds=5)
        assert line["user_id"] is None
        assert line["level"] == "INFO"


def test_the_line_names_the_user(service: Service):
    for user_id in (str(uuid4()), str(uuid4()).upper()):
        for path in ("/reservations/my", f"/reservations/{UUID}", "/reservations/my?page=0"):
            request_id = uuid4().hex
            headers = {"X-Request-ID": request_id}
            service.get(path, token=token_for(user_id), headers=headers)
            assert log_line(service, request_id)["user_id"] == user_id.lower()


def test_a_304_is_one_line_too(service: Service, make_event: MakeEvent):
    path = f"/events/{make_event().id}"
    etag, request_id = service.get(path).headers["ETag"], uuid4().hex
    headers = {"If-None-Match": etag, "X-Request-ID": request_id}
    assert service.get(path, headers=headers).status == 304
    line = log_line(service, request_id)
    assert (line["route"], line["status"]) == ("/api/v1/events/<id:event_id>", 304)


def test_every_line_is_json(service: Service):
    service.get("/events")
    for line in service.log.read_text().splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def test_no_token_and_no_body_is_in_the_log(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()])
    marker, token, request_id = uuid4().hex, token_for(), uuid4().hex
    json_type = {"Content-Type": "application/json"}
    order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    assert service.post("/seats/reserve", token=token, json=order).status == 201
    service.post("/seats/reserve", token=token, json={**order, marker: marker})
    service.post("/seats/reserve", token=token, json=order, headers={"Idempotency-Key": marker})
    service.post("/reservations", token=token, body=f'{{"{marker}', headers=json_type)
    service.get("/reservations/my", token=f"{token}.{marker}")
    service.get("/reservations/my", token=token_for(exp=1, jti=marker))
    service.get("/reservations/my", token=token, headers={"X-Request-ID": request_id})
    log_line(service, request_id)
    log = service.log.read_text()
    assert event.seat_ids[0] not in log
    assert marker not in log
    assert token.split(".")[1] not in log


def test_a_broken_header_is_not_in_the_log(service: Service):
    secret = uuid4().hex
    broken = f"GET /api/v1/events HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(broken.encode())
        assert connection.recv(100).split()[1] == b"400"
    request_id = uuid4().hex
    service.request("GET", "/health", headers={"X-Request-ID": request_id})
    log_line(service, request_id)
    assert secret not in service.log.read_text()
