"""A status that another program writes reaches everyone who looks at the event, once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.browser import Browser, Client
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.internal import SERVICE, TOKEN
from tests.support.service import Service, run_services
from tests.support.wire import check_soon

SOON = 2.0
"""Seconds within which everyone is told."""

QUIET = 2.5
"""Seconds in which a second or a needless message would come: two readings of each instance."""

database_url = own_database_url


database = balanced_database


@pytest.fixture(scope="module")
def instances(database_url: str, folder: Path) -> Iterator[list[Service]]:
    """Two, which tell the stock of an event seldom."""
    settings = {"DATABASE_URL": database_url, "INTERNAL_API_TOKEN": TOKEN, "UPDATE_SECONDS": "30"}
    with run_services(folder, 2, **settings) as started:
        yield started


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(tickets=[ticket()], sections=[section(seats=2)])


def watching(browser: Browser, instances: list[Service], event: Event) -> list[Client]:
    """Two sockets at each instance that look at the event."""
    clients = [browser.connect(instance.url) for instance in instances for _ in range(2)]
    for client in clients:
        client.join("join-event", event)
    return clients


def write(database: Connection, event: Event, **columns: object) -> None:
    """Change the event as another program does."""
    assignments = ", ".join(f"{column} = %s" for column in columns)
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE events SET {assignments} WHERE id = %s", [*columns.values(), event.id]
        )


def told(clients: list[Client]) -> list[list[str]]:
    """The statuses that each of them heard."""
    return [[news["status"] for news in client.payloads("event-status")] for client in clients]


def reschedule(service: Service) -> None:
    path = "/internal/reschedule-event-status"
    assert service.request("POST", path, headers=SERVICE).status == 200


@pytest.mark.parametrize("called", [True, False])
def test_a_status_of_another_program_is_told_to_each_socket_once(
    browser: Browser,
    instances: list[Service],
    event: Event,
    make_event: MakeEvent,
    database: Connection,
    called: bool,
):
    """Whether it calls or not, and whichever instance it calls."""
    clients = watching(browser, instances, event)
    [elsewhere, *_] = watching(browser, instances, make_event(tickets=[ticket()]))
    statuses = ["cancelled", "on_sale"]
    for turn, status in enumerate(statuses):
        write(database, event, status=status)
        if called:
            reschedule(instances[turn % 2])
        check_soon(lambda: told(clients), [statuses[: turn + 1]] * len(clients), SOON)
        time.sleep(QUIET)
        assert told(clients) == [statuses[: turn + 1]] * len(clients)
    late = browser.connect(instances[0].url)
    late.join("join-event", event)
    time.sleep(QUIET)
    assert told(clients) == [statuses] * len(clients)
    assert told([elsewhere, late]) == [[], []]
    for client in clients:
        for news in client.payloads("event-status"):
            assert (news.keys(), news["eventId"]) == ({"eventId", "status"}, event.id)


def test_a_status_that_did_not_change_is_not_told(
    browser: Browser, instances: list[Service], event: Event, database: Connection
):
    clients = watching(browser, instances, event)
    for turn in range(4):
        write(database, event, title=f"Another title {turn}", status="on_sale")
        reschedule(instances[turn % 2])
        time.sleep(QUIET / 4)
    time.sleep(QUIET)
    assert told(clients) == [[]] * len(clients)


def test_a_status_does_not_wait_for_the_interval_of_the_stock(
    browser: Browser, instances: list[Service], event: Event, database: Connection
):
    clients = watching(browser, instances, event)
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE ticket_types SET available_quantity = 7, total_quantity = 7"
            " WHERE event_id = %s",
            (event.id,),
        )
    for client in clients:
        client.wait("ticket-updated")
    write(database, event, status="cancelled")
    check_soon(lambda: told(clients), [["cancelled"]] * len(clients), SOON)


def test_a_sale_that_ends_is_told_to_each_socket_once(
    browser: Browser, instances: list[Service], event: Event, database: Connection
):
    """All instances find that it is over, and all read the status that one of them wrote."""
    clients = watching(browser, instances, event)
    write(database, event, sale_end_date="2020-01-01")
    reschedule(instances[0])
    check_soon(lambda: told(clients), [["ended"]] * len(clients), SOON)
    time.sleep(QUIET)
    assert told(clients) == [["ended"]] * len(clients)


def test_whoever_is_told_a_status_and_asks_reads_it(
    browser: Browser, instances: list[Service], event: Event, database: Connection
):
    """Several times: an answer that was kept before the change would be sent for 0.9 s."""
    client = browser.connect(instances[0].url)
    client.join("join-event", event)
    for status in ["cancelled", "on_sale"] * 4:
        before = len(client.heard("event-status"))
        for instance in instances:
            instance.get(f"/events/{event.id}")
        write(database, event, status=status)
        browser.wait_for(lambda before=before: told([client])[0][before:])
        assert told([client])[0][before:] == [status]
        for instance in instances:
            assert instance.get(f"/events/{event.id}").json()["event"]["status"] == status
