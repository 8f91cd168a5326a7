"""The OpenAPI description is true: real answers are as it says."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from dev.servers import Servers
from tests.support import internal
from tests.support.buyers import token_for
from tests.support.databases import new_database
from tests.support.factories import Event, MakeEvent, make_event, section, ticket
from tests.support.holds import hold_seats
from tests.support.openapi import INTERNAL_CALLS, Spec, body_schema, faults, openapi_spec
from tests.support.service import Response, Service

Check = Callable[..., Any]

RESERVE, BOOK = "/api/v1/seats/reserve", "/api/v1/reservations"


spec = openapi_spec


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
        (post, path), (get, audit), (_, reschedule) = INTERNAL_CALLS
        found = service.get("/internal/audit", headers=internal.SERVICE)
        assert len(found.json()["faults"]) == 1
        rescheduled = service.request("POST", reschedule, headers=internal.SERVICE)
        for answer, method, template, status in (
            (internal.tell_payment(service, paid), post, path, "200"),
            (internal.tell_payment(service, paid), post, path, "409"),
            (internal.tell_payment(service, over, "failed"), post, path, "200"),
            (internal.tell_payment(service, paid, "failed"), post, path, "200"),
            (found, get, audit, "200"),
            (rescheduled, post, reschedule, "200"),
        ):
            assert status == str(answer.status)
            schema = body_schema(spec, spec["paths"][template][method], status)
            assert faults(spec, schema, answer.json()) == []
        service.kill()


@pytest.fixture
def check(spec: Spec) -> Check:
    """Fail unless an answer is as the description of its call says; its body."""

    def check_answer(answer: Response, method: str, path: str, status: str = "200") -> Any:
        assert status == str(answer.status)
        schema = body_schema(spec, spec["paths"][path][method], status)
        assert faults(spec, schema, answer.json()) == []
        return answer.json()

    return check_answer


def test_real_answers_are_as_described(service: Service, make_event: MakeEvent, check: Check):
    event = make_event(
        sections=[section(seats=3)],
        tickets=[ticket(), ticket("VIP", price=99_000)],
        description="설명",
        poster_image_url="https://example.com/poster.png",
    )
    bare = make_event()
    token = token_for()
    order = {"eventId": event.id, "seatIds": event.seat_ids[:2]}
    lines = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 2}]
    seats = service.post("/seats/reserve", token=token, json=order)
    tickets = service.post("/reservations", token=token, json={"eventId": event.id, "items": lines})
    held = check(seats, "post", RESERVE, "201")["reservation"]["id"]
    booked = check(tickets, "post", BOOK, "201")["reservation"]["id"]
    check_event_reads(service, check, event, bare)
    check_reservation_reads(service, check, token, held, booked)
    for path in ("/health", "/health/live", "/health/ready"):
        check(service.request("GET", path), "get", path)

    taken = service.post("/seats/reserve", token=token_for(), json=order)
    assert check(taken, "post", RESERVE, "409")["code"] == "SEAT_ALREADY_RESERVED"
    empty = service.post("/seats/reserve", token=token, json={})
    assert check(empty, "post", RESERVE, "400")["code"] == "VALIDATION_ERROR"
    cancelled = service.post(f"/reservations/{held}/cancel", token=token)
    check(cancelled, "post", "/api/v1/reservations/{reservation_id}/cancel")

    artless = make_event(artist_name=None)
    for event_id in (event.id, artless.id):
        check_queue_calls(service, check, event_id, token)
    admin = token_for(role="admin")
    service.request("PUT", f"/api/v1/queue/admin/{event.id}", token=admin, json={"paused": True})
    refused = service.post("/seats/reserve", token=token_for(), json=order)
    assert check(refused, "post", RESERVE, "403")["code"] == "QUEUE_REQUIRED"


def check_event_reads(service: Service, check: Check, event: Event, bare: Event) -> None:
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
    ):
        check(service.get(path), "get", template)


def check_reservation_reads(
    service: Service, check: Check, token: str, held: str, booked: str
) -> None:
    for path, template in (
        (f"/seats/reservation/{held}", "/api/v1/seats/reservation/{reservation_id}"),
        (f"/seats/reservation/{booked}", "/api/v1/seats/reservation/{reservation_id}"),
        (f"/reservations/{held}", "/api/v1/reservations/{reservation_id}"),
        (f"/reservations/{booked}", "/api/v1/reservations/{reservation_id}"),
        ("/reservations/my", "/api/v1/reservations/my"),
    ):
        check(service.get(path, token=token), "get", template)


def check_queue_calls(service: Service, check: Check, event_id: str, token: str) -> None:
    """Every call of the waiting room, by someone who is inside, who waits and who is not there."""
    admin = token_for(role="admin")
    control = {"threshold": 1, "paused": False}
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
