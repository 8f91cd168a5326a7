"""What the administration service tells when it made or changed events."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.browser import run_client
from tests.support.databases import balanced_database, own_database_url, own_instances
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.internal import SERVICE, TOKEN
from tests.support.service import Response, Service
from tests.support.wire import check_error, check_soon

PATH = "/internal/reschedule-event-status"

SOON = 2.0
"""Seconds: less than it takes an instance to look by itself."""


database_url = own_database_url


database = balanced_database


instances = own_instances


def reschedule(service: Service, **options: Any) -> Response:
    return service.request("POST", PATH, **{"headers": SERVICE, **options})


def execute(database: Connection, statement: str, *values: object) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"json": {"eventId": "whatever"}},
        {"body": b"{", "headers": SERVICE | {"Content-Type": "application/json"}},
        {"body": b"\xff" * 1_000},
        {"body": b"x=1", "headers": SERVICE | {"Content-Type": "text/plain"}},
    ],
)
def test_it_answers_whatever_the_body(instances: list[Service], sent: dict[str, Any]):
    answer = reschedule(instances[0], **sent)
    assert answer.status == 200
    assert answer.json().keys() == {"success", "message"}
    assert (answer.json()["success"], answer.json()["message"] != "") == (True, True)


@pytest.mark.parametrize("headers", [{}, {"X-Internal-Token": "x"}, {"X-Internal-Token": ""}])
def test_it_is_forbidden_without_the_token(instances: list[Service], headers: dict[str, str]):
    check_error(reschedule(instances[0], headers=headers), 403, "FORBIDDEN")
    wrong = instances[0].request("GET", PATH, headers=SERVICE)
    check_error(wrong, 405, "VALIDATION_ERROR")


def test_it_is_forbidden_where_no_token_is_set(service: Service):
    """An empty one is not the right one then."""
    for token in (TOKEN, ""):
        answer = reschedule(service, headers={"X-Internal-Token": token})
        check_error(answer, 403, "FORBIDDEN")


def test_all_sales_are_looked_at_and_those_who_look_are_told_on_every_instance(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    """Several times, for an instance looks by itself every five seconds."""
    with ExitStack() as stack:
        browsers = [stack.enter_context(run_client(instance.url)) for instance in instances]
        for turn in range(4):
            event = make_event(status="upcoming", tickets=[ticket()])
            for browser in browsers:
                browser.join("join-event", event)
            execute(
                database,
                "UPDATE events SET sale_start_date = sale_start_date - interval '3 hours',"
                " sale_end_date = sale_end_date - interval '3 hours' WHERE id = %s",
                event.id,
            )
            assert reschedule(instances[turn % 2]).status == 200

            def seen(event: Event = event) -> list[str]:
                return [
                    *(
                        one.get(f"/events/{event.id}").json()["event"]["status"]
                        for one in instances
                    ),
                    *(
                        payload["status"]
                        for one in browsers
                        for payload in one.payloads("event-status")
                    ),
                ]

            check_soon(seen, ["ended"] * (2 + 2 * (turn + 1)), SOON)


def test_what_was_kept_of_events_is_forgotten(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    """At once here, and as soon as they hear of it on the others. What is read anew is the price
    of the seats too, which a map keeps for ten seconds."""
    event = make_event(title="Before", sections=[section(seats=2, price=50_000)])
    paths = [f"/events/{event.id}", "/events?limit=100", f"/seats/events/{event.id}"]
    for turn in range(10):
        price, title = 60_000 + turn, f"After {turn}"
        for instance in instances:
            for path in paths:
                assert instance.get(path).status == 200
        execute(database, "UPDATE seats SET price = %s WHERE event_id = %s", price, event.id)
        execute(database, "UPDATE events SET title = %s WHERE id = %s", title, event.id)
        assert reschedule(instances[0]).status == 200
        detail, listed, seats = (instances[0].get(path).json() for path in paths)
        assert detail["event"]["title"] == seats["event"]["title"] == title
        assert [seen["title"] for seen in listed["events"] if seen["id"] == event.id] == [title]
        assert {seat["price"] for seat in seats["seats"]} == {price}
        check_soon(partial(shown_title, instances[1], paths[2]), title, 0.5)


def shown_title(service: Service, path: str) -> str:
    return str(service.get(path).json()["event"]["title"])
