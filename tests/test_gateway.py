"""What the gateway sends: paths without a version, slashes at the end, a host of its own."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from uuid import uuid4

import pytest

from dev.processes import free_port
from dev.servers import Servers
from tests.support.buyers import token_for
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.service import Response, Service, run_service
from tests.support.tokens import UUID
from tests.support.wire import check_error, check_soon

SHOP = "https://tickets.example"

# As its HTTP client and the browser behind it send them.
HEADERS = {
    "Host": "ticket-service:3002",
    "Origin": SHOP,
    "Referer": f"{SHOP}/events",
    "User-Agent": "Mozilla/5.0",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate, br",
    "Cookie": "_ga=GA1.1.1",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "tickets.example",
}

SPELLINGS = list(product(("/api/v1", "/api"), ("", "/")))


@pytest.fixture(scope="module")
def shop(servers: Servers, folder: Path) -> Iterator[Service]:
    with run_service(folder, FRONTEND_URL=SHOP) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


def spelled(path: str, prefix: str, slash: str) -> str:
    """The path in one of its spellings; the query stays where it is."""
    place, question, query = path.partition("?")
    return f"{prefix}{place}{slash}{question}{query}"


def told(answer: Response) -> tuple[int, bytes, str | None]:
    """What must be alike in two answers of the same call."""
    return answer.status, answer.body, answer.headers.get("ETag")


def test_every_spelling_is_answered_alike(shop: Service, event: Event):
    token = token_for()
    reads = [
        "/events?page=1&limit=1&status=ended",
        f"/events/{event.id}",
        f"/tickets/event/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
        "/seats/layouts",
        f"/seats/events/{event.id}",
        "/reservations/my",
    ]
    for path in reads:
        expected = told(shop.get(path, token=token))
        assert expected[0] == 200
        for prefix, slash in SPELLINGS:
            for _ in range(2):  # the second time, a kept answer where there is one
                place = spelled(path, prefix, slash)
                assert told(shop.request("GET", place, token=token, headers=HEADERS)) == expected


@pytest.mark.parametrize(("prefix", "slash"), SPELLINGS)
def test_every_spelling_sells(shop: Service, event: Event, prefix: str, slash: str):
    token = token_for()

    def post(path: str, json: object = None) -> Response:
        place = spelled(path, prefix, slash)
        return shop.request("POST", place, token=token, json=json, headers=HEADERS)

    assert post(f"/queue/check/{event.id}").json()["status"] == "active"
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    held = post("/reservations", {"eventId": event.id, "items": items})
    assert held.status == 201
    assert (
        post("/seats/reserve", {"eventId": event.id, "seatIds": event.seat_ids[:1]}).status == 201
    )
    assert post(f"/reservations/{held.json()['reservation']['id']}/cancel").status == 200
    check_error(post("/reservations", {}), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(("prefix", "slash"), SPELLINGS)
def test_every_spelling_has_cors_tags_and_the_same_line_in_the_log(
    shop: Service, event: Event, prefix: str, slash: str
):
    place = spelled(f"/events/{event.id}", prefix, slash)
    etag = shop.request("GET", place).headers["ETag"]
    for sent in ({}, {"If-None-Match": etag}):
        request_id = uuid4().hex
        answer = shop.request("GET", place, headers={**HEADERS, **sent, "X-Request-ID": request_id})
        assert answer.status == (304 if sent else 200)
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        check_soon(lambda request_id=request_id: routes(shop, request_id), [EVENT_ROUTE])
    preflight = {**HEADERS, "Access-Control-Request-Method": "POST"}
    answer = shop.request("OPTIONS", spelled("/reservations", prefix, slash), headers=preflight)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, SHOP)
    assert shop.request("HEAD", place).status == 200
    wrong = shop.request("DELETE", spelled("/events", prefix, slash))
    check_error(wrong, 405, "VALIDATION_ERROR")


EVENT_ROUTE = "/api/v1/events/<id:event_id>"


def routes(service: Service, request_id: str) -> list[str]:
    lines = [line for line in service.log_lines() if line.get("request_id") == request_id]
    return [line["route"] for line in lines if line["message"] == "request"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/events//",
        "/api/v1/events//",
        "/api/v1/v1/events",
        "/api/v2/events",
        "/api/eventsandmore",
        "/api/events%00",
        "/api/events/nothing/at/all",
        "/api/queue/",
        "/api/reservations/x/y/",
        "/api/docs",
        "/api/openapi.json",
        "/api/internal/audit",
        "/api/v1/internal/audit/",
        "/api/health",
        "/events/",
        "/health/",
    ],
)
def test_what_no_one_forwards_is_not_found(shop: Service, path: str):
    for method in ("GET", "POST"):
        check_error(shop.request(method, path, token=token_for()), 404, "NOT_FOUND")


def test_an_id_in_any_spelling_must_be_a_uuid(shop: Service):
    for prefix, slash in SPELLINGS:
        answer = shop.request("GET", spelled("/events/abc", prefix, slash))
        check_error(answer, 400, "VALIDATION_ERROR")
        answer = shop.request("GET", spelled(f"/events/{UUID}", prefix, slash))
        check_error(answer, 404, "EVENT_NOT_FOUND")


def test_the_admin_port_has_nothing_of_it(servers: Servers, folder: Path, event: Event):
    admin_port = free_port()
    with run_service(folder, ADMIN_PORT=str(admin_port)) as service:
        admin = Service(service.process, admin_port, service.log)
        for prefix, slash in SPELLINGS:
            place = spelled(f"/events/{event.id}", prefix, slash)
            assert service.request("GET", place).status == 200
            check_error(admin.request("GET", place), 404, "NOT_FOUND")
        service.kill()


def test_the_description_has_each_call_once(shop: Service):
    paths = shop.get("/openapi.json").json()["paths"]
    assert "/api/v1/events" in paths
    assert all(path.startswith(("/api/v1/", "/health", "/internal/")) for path in paths)
    assert not [path for path in paths if path.endswith("/")]
