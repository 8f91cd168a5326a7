"""What every answer has, whatever it is about: request ids, log lines, CORS; and the probes."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import choice, choices
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psutil
import pytest

from dev.processes import free_port
from dev.servers import Servers
from tests.support.buyers import token_for
from tests.support.databases import new_database
from tests.support.factories import Event, section, ticket
from tests.support.service import Response, Service, run_service
from tests.support.wire import check_error, check_soon
from ticket_service.stores import schema

MakeEvent = Callable[..., Event]
StartService = Callable[..., Service]

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"


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


# CORS


SHOP, OFFICE = "https://tickets.example", "https://office.example:8443"


@pytest.fixture(scope="module")
def shop(servers: Servers, folder: Path) -> Iterator[Service]:
    """An instance for two front ends, as one would write them."""
    with run_service(folder, FRONTEND_URL=f"{SHOP}, {OFFICE}/") as instance:
        yield instance
        instance.kill()


def cors_headers(answer: Response) -> dict[str, set[str]]:
    """The CORS headers, each as the set of its words in lower case."""
    prefix = "access-control-"
    return {
        name.lower().removeprefix(prefix): set(value.lower().split(", "))
        for name, value in answer.headers.items()
        if name.lower().startswith(prefix)
    }


def test_an_allowed_origin_may_read_every_answer(shop: Service, make_event: MakeEvent):
    event = make_event()
    etag = shop.get(f"/events/{event.id}").headers["ETag"]
    for origin in (SHOP, OFFICE):
        headers = {"Origin": origin}
        for answer in (
            shop.get(f"/events/{event.id}", headers=headers),
            shop.get(f"/events/{event.id}", headers={**headers, "If-None-Match": etag}),
            shop.get(f"/events/{UUID}", headers=headers),
            shop.get("/reservations/my", headers=headers),
            shop.get("/reservations/my", headers=headers, token=token_for()),
            shop.get("/nothing", headers=headers),
            shop.post("/events", headers=headers),
        ):
            assert cors_headers(answer) == {
                "allow-origin": {origin},
                "allow-credentials": {"true"},
                "expose-headers": {"etag", "retry-after", "x-request-id"},
            }
            assert "Origin" in answer.headers["Vary"].split(", ")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/events", "/seats/reserve", f"/reservations/{UUID}/cancel"])
def test_a_browser_may_ask_first(shop: Service, path: str, method: str):
    answer = shop.request(
        "OPTIONS",
        f"/api/v1{path}",
        headers={
            "Origin": SHOP,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert (answer.status, answer.body) == (204, b"")
    allowed = cors_headers(answer)
    assert allowed["allow-origin"] == {SHOP}
    assert allowed["allow-credentials"] == {"true"}
    assert {"get", "post"} <= allowed["allow-methods"]
    assert allowed["allow-headers"] == {
        "authorization",
        "content-type",
        "idempotency-key",
        "if-none-match",
        "x-request-id",
    }


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://tickets.example",
        "https://tickets.example:444",
        "https://tickets.example.evil.example",
        "https://eviltickets.example",
        f"{SHOP}, {OFFICE}",
        "null",
        "*",
        "",
    ],
)
def test_an_unknown_origin_may_read_nothing(shop: Service, origin: str):
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    for answer in (
        shop.get("/events", headers={"Origin": origin}),
        shop.request("OPTIONS", "/api/v1/events", headers=preflight),
    ):
        assert not {"allow-origin", "allow-credentials"} & cors_headers(answer).keys()
        assert "Origin" in answer.headers["Vary"].split(", ")


def test_the_default_front_end_is_the_one_on_this_machine(service: Service):
    answer = service.get("/events", headers={"Origin": "http://localhost:3000"})
    assert cors_headers(answer)["allow-origin"] == {"http://localhost:3000"}


# Headers for browsers


def test_every_answer_tells_browsers_to_do_nothing_with_it(service: Service, make_event: MakeEvent):
    event = make_event()
    etag = service.get(f"/events/{event.id}").headers["ETag"]
    too_long = {"X": "x" * 9_000}
    answers = [
        service.get("/events"),
        service.get("/events"),
        service.get(f"/events/{event.id}", headers={"If-None-Match": etag}),
        service.get("/events/x"),
        service.get("/nothing"),
        service.get("/reservations/my"),
        service.post("/reservations", token=token_for(), json={}),
        service.request("OPTIONS", "/api/v1/events"),
        service.request("GET", "/health"),
        service.request("GET", "/metrics"),
        service.get("/openapi.json"),
        service.request("GET", "/socket.io/?EIO=4&transport=polling"),
        service.request("GET", "/socket.io/?EIO=1"),
        service.request("GET", "/health", headers=too_long),
    ]
    assert {answer.status for answer in answers} == {200, 304, 400, 401, 404, 431}
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_documentation_may_run_its_own_scripts(service: Service):
    for path in ("/docs", "/docs/swagger-ui-bundle.js", "/docs/nothing"):
        answer = service.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        for rule in policy:
            assert not re.search(r"https?:|\*|unsafe-eval", rule)


# The port for operators


ADMIN_ONLY = [
    "/metrics",
    "//metrics",
    "/%6detrics",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/api/v1/docs/swagger-ui.css",
    "//api/v1/docs",
]


def test_the_admin_port_has_what_is_for_operators_and_nothing_else(start_service: StartService):
    port = free_port()
    service = start_service(ADMIN_PORT=str(port))
    admin = Service(service.process, port, service.log)
    for path in ADMIN_ONLY:
        assert admin.request("GET", path).status == 200
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}"):
            answer = service.request(
                "GET", path, headers={"Host": host, "X-Forwarded-Port": f"{port}"}
            )
            check_error(answer, 404, "NOT_FOUND")
    for path in ("/health", "/health/live", "/health/ready"):
        assert service.request("GET", path).status == admin.request("GET", path).status == 200
    for path in ("/api/v1/events", "/socket.io/?EIO=4&transport=polling", "/api/v1/nothing"):
        service.request("GET", path)
        check_error(admin.request("GET", path), 404, "NOT_FOUND")
    check_error(admin.post("/reservations", token=token_for(), json={}), 404, "NOT_FOUND")
    assert b'"supportedSubmitMethods": []' in admin.get("/docs").body


def test_without_an_admin_port_one_port_has_everything(service: Service):
    for path in ADMIN_ONLY:
        assert service.request("GET", path).status == 200


# Kept answers


def kept_bytes(service: Service, cache: str) -> float:
    text = service.request("GET", "/metrics").body.decode()
    [value] = re.findall(rf'^ticket_kept_bytes{{cache="{cache}"}} (.+)$', text, re.MULTILINE)
    return float(value)


def search_all(service: Service, words: list[str]) -> None:
    """Search for each, eight at a time, on connections that are kept open."""

    def search(some: list[str]) -> None:
        for word in some:
            assert service.get(f"/events?q={quote(word)}").status == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(search, [words[at::8] for at in range(8)]))


def worker_of(service: Service) -> psutil.Process:
    [worker] = psutil.Process(service.process.pid).children()
    return worker


def test_kept_searches_are_counted_with_all_that_they_take(start_service: StartService):
    service = start_service()
    worker = worker_of(service)
    long = "x" * 200 + "\N{GRINNING FACE}"  # four bytes a letter in memory
    search_all(service, [f"{uuid4()}{long}" for _ in range(400)])
    before = worker.memory_info().rss, kept_bytes(service, "lists") + kept_bytes(service, "urls")
    search_all(service, [f"{uuid4()}{long}" for _ in range(4_000)])
    counted = kept_bytes(service, "lists") + kept_bytes(service, "urls") - before[1]
    assert worker.memory_info().rss - before[0] < counted + 3_000_000


def test_searches_are_bounded_and_push_nothing_else_out(
    start_service: StartService, make_event: MakeEvent
):
    service = start_service()
    worker = worker_of(service)
    marker = "".join(choices("abcdefgh", k=16))
    for _ in range(50):
        event = make_event(title=marker, description="x" * 4_000, sections=[section()])
    searches = [
        "".join(choice([str.lower, str.upper])(letter) for letter in marker) for _ in range(500)
    ]
    for path in (f"/events/{event.id}", f"/seats/events/{event.id}"):
        assert service.get(path).status == 200
    kept = kept_bytes(service, "events")
    assert kept > 4_000
    search_all(service, searches[:50])
    before = worker.memory_info().rss
    search_all(service, searches)  # 100 MB of answers
    assert worker.memory_info().rss - before < 40_000_000
    assert 10_000_000 < kept_bytes(service, "lists") <= 16_000_000
    assert kept_bytes(service, "urls") <= 4_000_000
    assert kept_bytes(service, "events") == kept


def test_checked_tokens_take_little_memory(start_service: StartService):
    service = start_service()
    worker = worker_of(service)
    padding = "x" * 5_000  # and so 7 kB of header
    tokens = [token_for(email=f"{number}{padding}") for number in range(3_100)]
    for token in tokens[:100]:
        assert service.get("/reservations/my", token=token).status == 200
    before = worker.memory_info().rss
    for token in tokens[100:]:
        assert service.get("/reservations/my", token=token).status == 200
    assert worker.memory_info().rss - before < 10_000_000


# Probes


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_says_that_the_process_answers(service: Service, path: str):
    answer = service.request("GET", path)
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "service": "ticket-service"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_says_that_the_dependencies_answer(service: Service):
    answer = service.request("GET", "/health/ready")
    assert answer.status == 200
    state = answer.json()
    loops = state.pop("loops")
    assert state == {"status": "ok", "postgres": "ok", "redis": "ok"}
    names = {loop["name"] for loop in loops}
    assert {"admission", "expiry", "event-status", "feeds", "presence"} <= names
    for loop in loops:
        assert loop.keys() == {"name", "lastRun", "seconds", "done", "failures", "lag", "late"}


def test_an_instance_without_its_dependencies_says_so(
    servers: Servers, start_service: StartService
):
    with new_database(servers.database_url) as url:
        schema.migrate(url, "public")
        service = start_service(DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0")
        answer = service.request("GET", "/health/ready")
        assert answer.status == 200
        state = answer.json()
        del state["loops"]
        assert state == {"status": "degraded", "postgres": "ok", "redis": "unavailable"}
    answer = service.request("GET", "/health/ready")
    assert answer.status == 503
    assert answer.json()["postgres"] == "unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert service.request("GET", "/health").status == 200
    check_error(service.get("/events"), 503, "SERVICE_UNAVAILABLE")
    service.kill()


@pytest.mark.parametrize("path", ["/api/v1/seats/reserve", "/socket.io/?EIO=4&transport=polling"])
def test_a_body_too_large_to_be_read_ends_its_connection_and_says_so(service: Service, path: str):
    answer = service.request("POST", path, token=token_for(), body=b"2" * 200_000)
    assert 400 <= answer.status < 500
    assert answer.headers["Connection"] == "close"
    small = service.request("POST", path, token=token_for(), body=b"2" * 50_000)
    assert small.headers["Connection"] == "keep-alive"
