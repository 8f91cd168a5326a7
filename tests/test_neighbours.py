"""Events with something wrong about them: each loop leaves them out and does the others' work.

There are as many bad events as good ones, for a loop that stops at the first bad one goes through
them in no order.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support import factories
from tests.support.browser import Browser
from tests.support.buyers import token_for
from tests.support.databases import connected, own_database_url
from tests.support.factories import Event, one, section, ticket
from tests.support.internal import metric
from tests.support.service import Service, run_service
from tests.support.visitors import Visitor, run_queue
from tests.support.waiting_lines import own_redis_url
from tests.support.wire import check_soon
from ticket_service.stores import keys

StartService = Callable[..., Service]

SOME = 4
"""Events of either kind."""


database_url = own_database_url
"""A database in which other programs may have seats, and triggers, that we know nothing of."""

redis_url = own_redis_url
"""A Redis whose keys may be spoiled: the instances of other tests would stumble over them."""


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as connection:
        yield connection


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="module")
def service(database_url: str, redis_url: str, folder: Path) -> Iterator[Service]:
    with run_service(
        folder, DATABASE_URL=database_url, REDIS_URL=redis_url, HOLD_TTL_SECONDS="2"
    ) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def bad(database: Connection) -> list[Event]:
    return make_some(database)


@pytest.fixture
def good(database: Connection) -> list[Event]:
    return make_some(database)


def make_some(database: Connection) -> list[Event]:
    return [
        factories.make_event(database, sections=[section(seats=3)], tickets=[ticket()])
        for _ in range(SOME)
    ]


def spoil(redis: Redis, *names: str) -> None:
    """Make something else of these keys than the scripts expect."""
    for name in names:
        redis.set(name, "what is this?")


def execute(database: Connection, statement: str, *values: object) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement, values)


def test_seats_that_cannot_be_read_hide_no_change_of_other_events(
    service: Service, database: Connection, browser: Browser, bad: list[Event], good: list[Event]
):
    """Another program gives seats a status that we do not know."""
    client, other = browser.connect(service.url), browser.connect(service.url)
    for event in bad + good:
        client.join("join-seat-selection", event)
        other.join("join-event", event)
    failed = metric(service, "ticket_loop_event_failures_total", loop="feeds")
    execute(database, "ALTER TABLE seats DROP CONSTRAINT seats_status_check")
    for event in bad:
        execute(database, "UPDATE seats SET status = 'b?' WHERE id = %s", event.seat_ids[0])
    check_soon(
        lambda: metric(service, "ticket_loop_event_failures_total", loop="feeds") >= failed + SOME,
        True,
        seconds=3,
    )
    for event in good:
        execute(database, "UPDATE seats SET status = 'locked' WHERE id = %s", event.seat_ids[0])
        execute(
            database, "UPDATE ticket_types SET available_quantity = 7 WHERE event_id = %s", event.id
        )
    for event in good:
        client.wait("seat-locked", lambda told, e=event: told["seatId"] == e.seat_ids[0], seconds=3)
        other.wait(
            "ticket-updated",
            lambda told, e=event: (told["eventId"], told["availableQuantity"]) == (e.id, 7),
            seconds=3,
        )
    # And as soon as it can be read, what else happened is told of it.
    for event in bad:
        execute(database, "UPDATE seats SET status = 'locked' WHERE id = %s", event.seat_ids[1])
        execute(database, "UPDATE seats SET status = 'available' WHERE status = 'b?'")
        client.wait("seat-locked", lambda told, e=event: told["seatId"] == e.seat_ids[1], seconds=3)


def test_a_count_that_is_spoilt_hides_no_other(
    service: Service, redis: Redis, browser: Browser, bad: list[Event], good: list[Event]
):
    for event in bad:
        spoil(redis, *keys.presence(event.id)[:3])
    client = browser.connect(service.url)
    for event in bad + good:
        client.join("join-event", event)
    for event in good:
        client.wait("room-info", lambda told, e=event: told["eventId"] == e.id, seconds=3)


def test_a_waiting_room_that_is_spoilt_costs_no_place_elsewhere(
    start_service: StartService,
    database: Connection,
    database_url: str,
    redis_url: str,
    redis: Redis,
    browser: Browser,
    bad: list[Event],
    good: list[Event],
):
    service = start_service(DATABASE_URL=database_url, REDIS_URL=redis_url, QUEUE_TTL_SECONDS="2")
    visitor = Visitor(service, good[0].id)
    client = browser.connect(service.url, visitor.token)
    for event in bad + good:
        run_queue(service, event.id, paused=True)
        client.join("join-queue", event)
    for event in bad:
        spoil(redis, keys.waiting_room(event.id)[1])
    time.sleep(3)
    for event in good:
        seen = redis.zscore(keys.waiting_room(event.id)[1], visitor.id)
        assert seen is not None
        assert time.time() - float(seen) / 1000 < 2  # a place lasts so long
    service.kill()


def test_a_hold_whose_end_cannot_be_told_keeps_no_other_from_being_told(
    service: Service, redis: Redis, browser: Browser, bad: list[Event], good: list[Event]
):
    """The waiting rooms of the bad events cannot be used; the holds of both end together."""
    client = browser.connect(service.url)
    for event in good:
        client.join("join-seat-selection", event)
    people = []
    for event in bad + good:
        token = token_for()
        order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
        assert service.post("/seats/reserve", token=token, json=order).status == 201
        people.append((event, token))
    for event in bad:
        spoil(redis, keys.waiting_room(event.id)[2])
    for event, token in people[SOME:]:
        check_soon(
            lambda e=event, t=token: service.get(f"/queue/status/{e.id}", token=t).json()["status"],
            "not_in_queue",
            seconds=4,
        )
        client.wait("seat-released", lambda told, e=event: told["seatId"] == e.seat_ids[0])
    assert metric(service, "ticket_loop_failures_total", loop="expiry") == 0


def test_an_event_that_cannot_be_moved_keeps_no_other_from_its_status(
    service: Service, database: Connection
):
    """Another program's trigger refuses it."""
    sale = timedelta(seconds=4), timedelta(hours=1)
    bad, good = (
        factories.make_event(database, status="upcoming", sale=sale, tickets=[ticket()])
        for _ in range(2)
    )
    execute(
        database,
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'not this one'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON events
        FOR EACH ROW WHEN (OLD.id = '{bad.id}') EXECUTE FUNCTION refuse()
        """,
    )

    def status(event: Event) -> str:
        return str(one(database, f"SELECT status FROM events WHERE id = '{event.id}'"))

    check_soon(lambda: status(good), "on_sale", seconds=7)
    order = {"items": [{"ticketTypeId": good.ticket_type_ids[0], "quantity": 1}]}
    execute(
        database,
        "UPDATE ticket_types SET available_quantity = 1 WHERE id = %s",
        good.ticket_type_ids[0],
    )
    answer = service.post("/reservations", token=token_for(), json={"eventId": good.id, **order})
    assert answer.status == 201
    check_soon(lambda: status(good), "sold_out")
    assert status(bad) == "upcoming"
    execute(database, "DROP TRIGGER refuse ON events")
