"""The OpenAPI description: complete, valid, and true; and the page that shows it."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urljoin

import psycopg2
import pytest

from dev.servers import Servers
from tests.support import internal
from tests.support.buyers import token_for
from tests.support.databases import new_database
from tests.support.factories import Event, make_event, section, ticket
from tests.support.holds import hold_seats
from tests.support.openapi import Spec, body_schema, description, faults, operations, resolved
from tests.support.service import Response, Service

MakeEvent = Callable[..., Event]
UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

# The calls: method, path, the status that says it went well, private or not.
CALLS = [
    ("get", "/health", 200, False),
    ("get", "/api/v1/events", 200, False),
    ("get", "/api/v1/events/{event_id}", 200, False),
    ("get", "/api/v1/tickets/event/{event_id}", 200, False),
    ("get", "/api/v1/tickets/availability/{ticket_type_id}", 200, False),
    ("get", "/api/v1/seats/layouts", 200, False),
    ("get", "/api/v1/seats/events/{event_id}", 200, False),
    ("post", "/api/v1/seats/reserve", 201, True),
    ("get", "/api/v1/seats/reservation/{reservation_id}", 200, True),
    ("post", "/api/v1/reservations", 201, True),
    ("get", "/api/v1/reservations/my", 200, True),
    ("get", "/api/v1/reservations/{reservation_id}", 200, True),
    ("post", "/api/v1/reservations/{reservation_id}/cancel", 200, True),
    ("post", "/api/v1/queue/check/{event_id}", 200, True),
    ("get", "/api/v1/queue/status/{event_id}", 200, True),
    ("post", "/api/v1/queue/heartbeat/{event_id}", 200, True),
    ("post", "/api/v1/queue/leave/{event_id}", 200, True),
    ("get", "/api/v1/queue/admin/{event_id}", 200, True),
    ("put", "/api/v1/queue/admin/{event_id}", 200, True),
    ("post", "/api/v1/queue/admin/clear/{event_id}", 200, True),
]

# Those of the other services of the house, which have a token of their own.
INTERNAL_CALLS = [
    ("post", "/api/v1/internal/reservations/{reservation_id}/payment"),
    ("get", "/api/v1/internal/audit"),
]


@pytest.fixture(scope="module")
def spec(service: Service) -> Spec:
    return description(service)


def test_the_description_is_openapi_3(spec: Spec):
    assert spec["openapi"].startswith("3.0.")
    assert spec["info"]["title"]
    assert spec["info"]["version"]
    bearer = spec["components"]["securitySchemes"]["bearer"]
    assert (bearer["type"], bearer["scheme"]) == ("http", "bearer")


def test_every_reference_leads_somewhere(spec: Spec):
    references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(spec))
    assert references
    for reference in references:
        assert reference.startswith("#/")
        assert resolved(spec, {"$ref": reference})


def test_every_parameter_of_a_path_is_described(spec: Spec):
    for _, path, operation in operations(spec):
        described = [
            resolved(spec, parameter)
            for parameter in spec["paths"][path].get("parameters", [])
            + operation.get("parameters", [])
        ]
        in_path = {given["name"]: given for given in described if given["in"] == "path"}
        assert in_path.keys() == set(re.findall(r"{(\w+)}", path))
        for given in in_path.values():
            assert given["required"] is True
            assert given["schema"].keys() == {"type", "format", "pattern"}
            assert given["schema"]["format"] == "uuid"
            assert re.search(given["schema"]["pattern"], UUID)


def test_patterns_are_of_the_kind_that_every_client_knows(spec: Spec):
    for pattern in re.findall(r'"pattern": "([^"]*)"', json.dumps(spec)):
        assert not re.search(r"\\\\[AZ]|\(\?P", pattern), f"{pattern} is Python's own"


def test_every_operation_has_a_summary_and_a_name(spec: Spec):
    named = [(operation["summary"], *operation["tags"]) for _, _, operation in operations(spec)]
    assert len(set(named)) == len(named)
    described = {tag["name"] for tag in spec["tags"] if tag["description"]}
    assert {tag for _, *tags in named for tag in tags} <= described


@pytest.mark.parametrize(("method", "path", "status", "private"), CALLS)
def test_every_call_is_described(spec: Spec, method: str, path: str, status: int, private: bool):
    operation = spec["paths"][path][method]
    assert body_schema(spec, operation, str(status))
    errors = body_schema(spec, operation, "default")
    assert resolved(spec, errors) == spec["components"]["schemas"]["Error"]
    assert operation.get("security", []) == ([{"bearer": []}] if private else [])
    has_body = method == "put" or path.endswith(("/reserve", "/reservations"))
    assert ("requestBody" in operation) == has_body


@pytest.mark.parametrize(("method", "path"), INTERNAL_CALLS)
def test_every_internal_call_is_described(spec: Spec, method: str, path: str):
    operation = spec["paths"][path][method]
    assert body_schema(spec, operation, "200")
    errors = body_schema(spec, operation, "default")
    assert resolved(spec, errors) == spec["components"]["schemas"]["Error"]
    assert operation["security"] == [{"service": []}]
    scheme = spec["components"]["securitySchemes"]["service"]
    assert scheme == {"type": "apiKey", "in": "header", "name": "X-Internal-Token"}
    assert ("requestBody" in operation) == (method == "post")


def test_internal_answers_are_as_described(
    servers: Servers, start_service: Callable[..., Service], spec: Spec
):
    with new_database(servers.database_url) as url, closing(psycopg2.connect(url)) as database:
        database.autocommit = True
        service = start_service(DATABASE_URL=url, INTERNAL_API_TOKEN=internal.TOKEN)
        event = make_event(database, sections=[section()])
        paid, over = hold_seats(database, event, event.seat_ids[:2], 300)
        with database.cursor() as cursor:
            cursor.execute(
                "UPDATE seats SET status = 'reserved' WHERE id = %s", (event.seat_ids[5],)
            )
        (post, path), (get, audit) = INTERNAL_CALLS
        found = service.get("/internal/audit", headers=internal.SERVICE)
        assert len(found.json()["faults"]) == 1
        for answer, method, template, status in (
            (internal.tell_payment(service, paid), post, path, "200"),
            (internal.tell_payment(service, paid), post, path, "default"),
            (internal.tell_payment(service, over, "failed"), post, path, "200"),
            (internal.tell_payment(service, paid, "failed"), post, path, "200"),
            (found, get, audit, "200"),
        ):
            assert status in (str(answer.status), "default")
            schema = body_schema(spec, spec["paths"][template][method], status)
            assert faults(spec, schema, answer.json()) == []
        service.kill()


def test_no_answer_is_described_that_never_comes(spec: Spec):
    for method, path, operation in operations(spec):
        assert "422" not in operation["responses"], f"{method} {path}"


def test_the_query_and_headers_are_described(spec: Spec):
    def parameters(method: str, path: str) -> dict[str, Any]:
        given = spec["paths"][path][method]["parameters"]
        return {parameter["name"]: parameter["schema"] for parameter in given}

    events = parameters("get", "/api/v1/events")
    assert events.keys() == {"page", "limit", "status", "q"}
    assert (events["page"]["minimum"], events["page"]["default"]) == (1, 1)
    limits = (events["limit"]["minimum"], events["limit"]["maximum"], events["limit"]["default"])
    assert limits == (1, 100, 10)
    statuses = {"upcoming", "on_sale", "sold_out", "ended", "cancelled"}
    assert statuses <= set(events["status"]["enum"])
    assert parameters("get", "/api/v1/reservations/my").keys() == {"page", "limit"}
    for path in ("/api/v1/seats/reserve", "/api/v1/reservations"):
        assert parameters("post", path).keys() == {"Idempotency-Key"}


def test_real_answers_are_as_described(service: Service, make_event: MakeEvent, spec: Spec):
    event = make_event(
        sections=[section(seats=3)],
        tickets=[ticket(), ticket("VIP", price=99_000)],
        description="설명",
        poster_image_url="https://example.com/poster.png",
    )
    bare = make_event()
    token = token_for()

    def check(answer: Response, method: str, path: str, status: str = "200") -> Any:
        assert status in (str(answer.status), "default")
        schema = body_schema(spec, spec["paths"][path][method], status)
        assert faults(spec, schema, answer.json()) == []
        return answer.json()

    reserve, book = "/api/v1/seats/reserve", "/api/v1/reservations"
    order = {"eventId": event.id, "seatIds": event.seat_ids[:2]}
    lines = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 2}]
    seats = service.post("/seats/reserve", token=token, json=order)
    tickets = service.post("/reservations", token=token, json={"eventId": event.id, "items": lines})
    held = check(seats, "post", reserve, "201")["reservation"]["id"]
    booked = check(tickets, "post", book, "201")["reservation"]["id"]

    for path, template in (
        (f"/events?q={event.title.split()[1]}", "/api/v1/events"),
        (f"/events?q={bare.title.split()[1]}", "/api/v1/events"),
        (f"/events/{event.id}", "/api/v1/events/{event_id}"),
        (f"/events/{bare.id}", "/api/v1/events/{event_id}"),
        (f"/tickets/event/{event.id}", "/api/v1/tickets/event/{event_id}"),
        (
            f"/tickets/availability/{event.ticket_type_ids[0]}",
            "/api/v1/tickets/availability/{ticket_type_id}",
        ),
        ("/seats/layouts", "/api/v1/seats/layouts"),
        (f"/seats/events/{event.id}", "/api/v1/seats/events/{event_id}"),
        (f"/seats/reservation/{held}", "/api/v1/seats/reservation/{reservation_id}"),
        (f"/seats/reservation/{booked}", "/api/v1/seats/reservation/{reservation_id}"),
        (f"/reservations/{held}", "/api/v1/reservations/{reservation_id}"),
        (f"/reservations/{booked}", "/api/v1/reservations/{reservation_id}"),
        ("/reservations/my", "/api/v1/reservations/my"),
    ):
        check(service.get(path, token=token), "get", template)
    for path in ("/health", "/health/live", "/health/ready"):
        check(service.request("GET", path), "get", path)

    taken = service.post("/seats/reserve", token=token_for(), json=order)
    assert check(taken, "post", reserve, "default")["code"] == "SEAT_ALREADY_RESERVED"
    empty = service.post("/seats/reserve", token=token, json={})
    assert check(empty, "post", reserve, "default")["code"] == "VALIDATION_ERROR"
    cancelled = service.post(f"/reservations/{held}/cancel", token=token)
    check(cancelled, "post", "/api/v1/reservations/{reservation_id}/cancel")

    artless = make_event(artist_name=None)
    admin = token_for(role="admin")
    control = {"threshold": 1, "paused": False}
    for event_id in (event.id, artless.id):
        for method, path, who, body in (
            ("get", "/queue/admin/{}", admin, None),
            ("put", "/queue/admin/{}", admin, control),
            ("post", "/queue/check/{}", token, None),
            ("post", "/queue/check/{}", admin, None),
            ("get", "/queue/status/{}", token, None),
            ("get", "/queue/status/{}", admin, None),
            ("get", "/queue/status/{}", token_for(), None),
            ("post", "/queue/heartbeat/{}", token, None),
            ("get", "/queue/admin/{}", admin, None),
            ("post", "/queue/leave/{}", token, None),
            ("post", "/queue/admin/clear/{}", admin, None),
        ):
            url = f"/api/v1{path.format(event_id)}"
            answer = service.request(method.upper(), url, token=who, json=body)
            check(answer, method, f"/api/v1{path.format('{event_id}')}")
    service.request("PUT", f"/api/v1/queue/admin/{event.id}", token=admin, json={"paused": True})
    refused = service.post("/seats/reserve", token=token_for(), json=order)
    assert check(refused, "post", reserve, "default")["code"] == "QUEUE_REQUIRED"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "1"),
        ({"type": "integer"}, True),
        ({"type": "number"}, True),
        ({"type": "number"}, "1.5"),
        ({"type": "string"}, None),
        ({"type": "string", "enum": ["a"]}, "b"),
        ({"type": "string", "format": "date-time"}, "2026-11-22 13:00:00"),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {}),
        ({"type": "object", "properties": {}}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "1"}),
        ({"type": "array", "items": {"type": "integer"}}, [1, "2"]),
    ],
)
def test_the_check_of_answers_finds_faults(schema: dict[str, Any], value: object):
    assert faults({}, schema, value) != []


def test_the_page_needs_nothing_from_other_hosts(service: Service):
    page = service.get("/docs")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    html = page.body.decode()
    assert not re.search(r"""["'(]\s*(https?:)?//""", html)
    assets = re.findall(r"""(?:src|href)=["']([^"']+)["']""", html)
    kinds = {asset.rsplit(".", 1)[1] for asset in assets}
    assert {"js", "css"} <= kinds
    for asset in assets:
        answer = service.request("GET", urljoin("/api/v1/docs", asset))
        assert answer.status == 200
        assert len(answer.body) > 1_000
        assert re.search("javascript|css", answer.headers["Content-Type"])
    [description] = re.findall(r'url: "([^"]+)"', html)
    assert service.request("GET", description).json()["openapi"]
