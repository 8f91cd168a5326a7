"""Whoever bought under an Idempotency-Key gets their answer, whatever others are doing."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import Servers
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import WAITING, address, eventually, held_up, row_locked, through
from tests.support.factories import Event, one, section, ticket
from tests.support.others import end
from tests.support.proxy import Proxy, proxy
from tests.support.repeats import Buyer
from tests.support.service import Response, Service, run_service
from tests.support.visitors import clear_queue, run_queue
from tests.support.wire import check_error
from ticket_service.stores.postgres import LOCK_TIMEOUT_MS

QUICK = LOCK_TIMEOUT_MS / 1000
"""Seconds; whoever waits for a lock in vain waits longer."""

CROWD = 16
"""Buyers who wait for an event: more than can be served before the others give up waiting."""

PATIENT = QUICK + 1
"""Seconds, where the buyer's own lock is waited for."""


database_url = own_database_url
"""A database of our own, so that the books can be checked."""


database = balanced_database


@pytest.fixture(scope="module")
def shared_proxy(servers: Servers) -> Iterator[Proxy]:
    with proxy(address(servers.redis_url)) as server:
        yield server


@pytest.fixture
def redis_proxy(shared_proxy: Proxy, service: Service) -> Iterator[Proxy]:
    """Between the instance and Redis; after the test the instance must be well again by itself."""
    yield shared_proxy
    shared_proxy.restore()
    eventually(lambda: service.request("GET", "/health/ready").json()["status"] == "ok")


@pytest.fixture(scope="module")
def service(
    servers: Servers, database_url: str, shared_proxy: Proxy, folder: Path
) -> Iterator[Service]:
    """An instance that sells nothing without its waiting room."""
    with run_service(
        folder,
        DATABASE_URL=database_url,
        REDIS_URL=through(shared_proxy, servers.redis_url),
        SELL_WITHOUT_WAITING_ROOM="false",
    ) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=20)], tickets=[ticket(), ticket("Balcony")])


@pytest.fixture(params=["seats", "tickets"])
def buyer(service: Service, event: Event, request: pytest.FixtureRequest) -> Buyer:
    return Buyer(service, event, request.param)


def bought(buyer: Buyer) -> Response:
    """The answer to the first request."""
    answer = buyer.buy()
    assert answer.status == 201, answer.body
    return answer


def check_repeat(buyer: Buyer, first: Response, within: float = QUICK) -> None:
    """Fail unless repeats get the first answer, soon, and another order is a conflict.

    One repeat must be soon: on a busy machine another may be slow for reasons of its own.
    """
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        again = buyer.buy()
        seconds.append(time.monotonic() - started)
        assert (again.status, again.body) == (201, first.body)
    check_error(buyer.buy(1), 409, "VALIDATION_ERROR")
    assert min(seconds) < within


def count(database: Connection, event: Event) -> int:
    """How many reservations of the event there are."""
    return int(one(database, f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}'"))


def held(first: Response) -> str:
    """The reservation's id."""
    return str(first.json()["reservation"]["id"])


@contextmanager
def seat_locked(redis: Redis, event: Event) -> Iterator[None]:
    """A rival is just taking the first two seats, and the tickets' buyers see none of it."""
    locks = [f"ticket:{{{event.id}}}:seat-lock:{seat_id}" for seat_id in event.seat_ids[:2]]
    for lock in locks:
        redis.set(lock, "a rival", px=60_000)
    yield
    assert redis.delete(*locks) == len(locks)


@contextmanager
def all_locked(database: Connection, event: Event, buyer: Buyer) -> Iterator[None]:
    """Another program has every row of the event and of its reservations, and the buyer's lock."""
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        buyers_lock = f"hashtextextended('ticket-service:buyer:{buyer.id}', 0)"
        cursor.execute(f"SELECT pg_advisory_lock({buyers_lock})")
        cursor.execute(f"SELECT FROM events WHERE id = '{event.id}' FOR UPDATE")
        for table in ("reservations", "seats", "ticket_types"):
            cursor.execute(f"SELECT FROM {table} WHERE event_id = '{event.id}' FOR UPDATE")
        cursor.execute(
            "SELECT FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id"
            f" WHERE r.event_id = '{event.id}' FOR UPDATE OF i"
        )
        yield


def test_a_rival_who_is_just_taking_the_seat(buyer: Buyer, event: Event, redis: Redis):
    first = bought(buyer)
    with seat_locked(redis, event):
        check_repeat(buyer, first)


@pytest.mark.parametrize("table", ["seats", "ticket_types", "reservations"])
def test_a_row_that_someone_has_locked(
    buyer: Buyer, event: Event, database: Connection, table: str
):
    first = bought(buyer)
    rows = {
        "seats": event.seat_ids[0],
        "ticket_types": event.ticket_type_ids[0],
        "reservations": held(first),
    }
    with row_locked(database, table, rows[table]):
        check_repeat(buyer, first)
    assert count(database, event) == 1


def test_every_row_and_the_buyers_own_lock(buyer: Buyer, event: Event, database: Connection):
    first = bought(buyer)
    with all_locked(database, event, buyer):
        check_repeat(buyer, first, PATIENT)
    assert count(database, event) == 1


def test_after_its_end_a_hold_is_shown_as_it_is_while_it_is_locked(
    buyer: Buyer, event: Event, database: Connection
):
    first = bought(buyer)
    end(database, held(first))
    with all_locked(database, event, buyer):
        again = buyer.buy()
    assert (again.status, held(again)) == (201, held(first))
    shown = again.json()["reservation"]
    states = {seat["status"] for seat in shown.get("seats", [])} | {shown.get("status")}
    assert states <= {"available", "cancelled", None}


def test_a_hold_that_is_just_being_ended(buyer: Buyer, event: Event, database: Connection):
    """The expiry has the rows of the reservation and of what it held."""
    first = bought(buyer)
    end(database, held(first))
    with (
        row_locked(database, "reservations", held(first)),
        row_locked(database, "seats", event.seat_ids[0]),
        row_locked(database, "ticket_types", event.ticket_type_ids[0]),
    ):
        shown = buyer.buy()
        assert (shown.status, held(shown)) == (201, held(first))
        check_repeat(buyer, shown)
    assert count(database, event) == 1


def test_another_order_of_the_same_buyer_that_waits(
    buyer: Buyer, event: Event, database: Connection, service: Service
):
    """It has the buyer's lock while it waits for a ticket type that someone has locked."""
    first = bought(buyer)
    other = Buyer(service, event, "tickets")
    other.id = buyer.id
    with (
        ThreadPoolExecutor() as threads,
        row_locked(database, "ticket_types", event.ticket_type_ids[1]),
    ):
        waiting = threads.submit(other.buy, 1)
        eventually(lambda: one(database, WAITING) != 0)
        check_repeat(buyer, first, PATIENT)
    assert waiting.result().status in (201, 503)


def test_others_who_keep_the_connections_of_the_event_busy(
    service: Service, event: Event, database: Connection
):
    buyer = Buyer(service, event, "seats")
    first = bought(buyer)
    with ThreadPoolExecutor(CROWD) as threads, held_up(database):
        for seat in range(1, CROWD + 1):
            threads.submit(Buyer(service, event, "seats").buy, seat)
        eventually(lambda: one(database, WAITING) != 0)
        time.sleep(0.3)  # the others stand in line now
        again = buyer.buy()
    assert (again.status, again.body) == (201, first.body)


@pytest.mark.parametrize("failure", ["refuse", "hang"])
def test_a_waiting_room_that_is_not_there(buyer: Buyer, redis_proxy: Proxy, failure: str):
    first = bought(buyer)
    getattr(redis_proxy, failure)()
    check_error(buyer.buy(1, key=str(uuid4())), 503, "QUEUE_UNAVAILABLE")
    check_repeat(buyer, first)


def test_a_waiting_room_that_is_paused_meanwhile(buyer: Buyer, event: Event, service: Service):
    first = bought(buyer)
    clear_queue(service, event.id)
    run_queue(service, event.id, paused=True)
    check_repeat(buyer, first)
    check_error(buyer.buy(1, key=str(uuid4())), 403, "QUEUE_REQUIRED")


def test_a_refusal_without_a_first_one_stays_a_refusal(
    buyer: Buyer, event: Event, database: Connection
):
    expected = {"SEAT_LOCKED", "SERVICE_UNAVAILABLE"}
    with all_locked(database, event, buyer):
        assert buyer.buy().json()["code"] in expected
    assert count(database, event) == 0
    assert buyer.buy().status == 201


def test_a_repeat_of_what_is_still_on_its_way_makes_no_second_one(
    buyer: Buyer, event: Event, database: Connection
):
    """Both wait for the same row; whoever is told to try again does so."""

    def insist() -> Response:
        while (answer := buyer.buy()).status in (409, 503):
            time.sleep(0.05)
        return answer

    with ThreadPoolExecutor() as threads:
        with (
            row_locked(database, "ticket_types", event.ticket_type_ids[0]),
            row_locked(database, "seats", event.seat_ids[0]),
        ):
            both = [threads.submit(insist) for _ in range(2)]
            time.sleep(0.3)
            assert not any(one.done() for one in both)
        answers = [one.result() for one in both]
    assert {answer.status for answer in answers} == {201}
    assert answers[0].body == answers[1].body
    assert count(database, event) == 1
