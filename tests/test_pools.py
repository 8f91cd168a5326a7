"""No event, no search and no reader takes the connections that others need."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support import factories
from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import buy_seat, buy_ticket, eventually, refused, row_locked, timed
from tests.support.factories import Event, section, ticket
from tests.support.holds import hold_tickets
from tests.support.internal import TOKEN, tell_payment
from tests.support.service import Response, Service, run_service
from ticket_service.stores import keys
from ticket_service.stores.postgres import CHECKOUT_TIMEOUT, STATEMENT_TIMEOUT_MS

SOON = 1.0
"""Seconds: less than a lock time-out, so most have not waited behind one that ran out."""

BUYER = str(uuid4())


database_url = own_database_url
"""A database that only these tests write, so that its books can be checked."""


database = balanced_database


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    with run_service(
        folder,
        DATABASE_URL=database_url,
        INTERNAL_API_TOKEN=TOKEN,
        QUEUE_THRESHOLD="1000000",  # the hammering buyers are all new
    ) as instance:
        yield instance


@pytest.fixture
def events(database: Connection) -> list[Event]:
    """Four events, each with seats and two ticket types."""
    tickets = [ticket("A", total=10_000), ticket("B")]
    return [
        factories.make_event(database, sections=[section(seats=40)], tickets=tickets)
        for _ in range(4)
    ]


@contextmanager
def hammered(*calls: Callable[[], Response], threads: int = 32) -> Iterator[list[Response]]:
    """Call all of them again and again, in so many threads, until the block ends."""
    answers: list[Response] = []
    ended = threading.Event()

    def hammer(call: Callable[[], Response]) -> None:
        while not ended.is_set():
            answers.append(call())
            time.sleep(0.1)  # it is connections that are to be scarce, not processors

    with ThreadPoolExecutor(threads) as pool:
        futures = [
            pool.submit(hammer, call) for _, call in zip(range(threads), cycle(calls), strict=False)
        ]
        try:
            yield answers
        finally:
            ended.set()
    for future in futures:
        future.result()


@contextmanager
def stuck(service: Service, database: Connection, *events: Event) -> Iterator[list[Response]]:
    """Another program has the first ticket type of each event, which everybody wants."""
    with ExitStack() as stack:
        for event in events:
            stack.enter_context(row_locked(database, "ticket_types", event.ticket_type_ids[0]))
        buy = [partial(buy_ticket, service, event) for event in events]
        yield stack.enter_context(hammered(*buy))


def times(calls: Sequence[Callable[[], Response]], status: int = 201) -> list[float]:
    """How long each took, one after the other."""
    timed_calls = [timed(call) for call in calls]
    assert [answer.status for answer, _ in timed_calls] == [status] * len(calls)
    return [seconds for _, seconds in timed_calls]


def buy_both(service: Service, event: Event, count: int = 20) -> list[float]:
    """Buy seats and tickets of the event by turns; how long each took."""
    seats = [partial(buy_seat, service, event, seat) for seat in range(count)]
    tickets = [partial(buy_ticket, service, event)] * count
    return times([call for both in zip(seats, tickets, strict=True) for call in both])


@pytest.mark.parametrize("number", [1, 3])
def test_events_with_a_locked_row_leave_the_others_alone(
    service: Service, database: Connection, events: list[Event], number: int
):
    with stuck(service, database, *events[:number]) as answers:
        eventually(lambda: len(answers) > 20)  # so it lasts for longer than a lock time-out
        assert median(buy_both(service, events[3])) < SOON
    assert all(refused(answer) or answer.status == 201 for answer in answers)


def test_without_groups_one_locked_row_stops_every_event(
    database: Connection, database_url: str, events: list[Event], folder: Path
):
    """The negative control of the test above."""
    with (
        run_service(
            folder,
            "tests.support.unguarded:app",
            DATABASE_URL=database_url,
            UNGUARDED="connections",
            QUEUE_THRESHOLD="1000000",
        ) as service,
        stuck(service, database, events[0]) as answers,
    ):
        eventually(lambda: len(answers) > 20)
        with pytest.raises(AssertionError):
            assert median(buy_both(service, events[3], 5)) < SOON


def test_what_else_an_event_sells_goes_on_beside_a_locked_row(
    service: Service, database: Connection, events: list[Event]
):
    event = events[0]
    items = [{"ticketTypeId": event.ticket_type_ids[1], "quantity": 1}]
    body = {"eventId": event.id, "items": items}
    with stuck(service, database, event) as answers:
        eventually(lambda: len(answers) > 20)
        seats = [partial(buy_seat, service, event, seat) for seat in range(10)]
        tickets = [
            partial(service.post, "/reservations", token=token_for(), json=body) for _ in range(10)
        ]
        assert median(times(seats + tickets)) < SOON


def test_whoever_wants_a_locked_row_is_told_soon_and_sold_to_when_it_is_free(
    service: Service, database: Connection, events: list[Event], redis: Redis
):
    buy = partial(buy_ticket, service, events[0])
    assert buy().status == 201
    version = redis.get(keys.version(events[0].id))
    with stuck(service, database, events[0]) as answers:
        eventually(lambda: len(answers) > 40)
        soon = [timed(buy) for _ in range(5)]
        # Nothing was written, so kept answers are as good as they were.
        assert redis.get(keys.version(events[0].id)) == version
        assert all(refused(answer) for answer, _ in soon)
        assert max(seconds for _, seconds in soon) < CHECKOUT_TIMEOUT + STATEMENT_TIMEOUT_MS / 1000
    assert median(times([buy] * 10)) < SOON


def test_giving_back_and_paying_beside_a_locked_row_stop_nothing_else(
    service: Service, database: Connection, events: list[Event]
):
    held = [hold_tickets(database, event, 16, 300, BUYER) for event in events[:2]]
    token = token_for(BUYER)
    calls: list[Callable[[], Response]] = []
    for cancelled, paid in zip(*held, strict=True):
        calls.append(partial(service.post, f"/reservations/{cancelled}/cancel", token=token))
        calls.append(partial(tell_payment, service, paid, "failed"))
    with stuck(service, database, *events[:2]), hammered(*calls) as answers:
        eventually(lambda: len(answers) > 4)
        assert median(buy_both(service, events[3])) < SOON
    assert {answer.status for answer in answers} <= {200, 409, 503}


def test_reads_go_on_while_sales_are_stuck(
    service: Service, database: Connection, events: list[Event]
):
    token = token_for()
    with stuck(service, database, *events[:3]) as answers:
        eventually(lambda: len(answers) > 20)
        for event in events:
            paths = [f"/events/{event.id}", f"/seats/events/{event.id}", "/reservations/my"]
            calls = [partial(service.get, path, token=token) for path in paths]
            assert median(times(calls, 200)) < SOON


def test_slow_searches_stop_neither_readers_nor_buyers(
    service: Service, database: Connection, events: list[Event]
):
    def search() -> Response:
        return service.get(f"/events?q={uuid4()}")

    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE keyword_mappings IN ACCESS EXCLUSIVE MODE")
        with hammered(search) as answers:
            eventually(lambda: len(answers) > 4)
            for event in events:
                paths = [f"/events/{event.id}", f"/seats/events/{event.id}", "/seats/layouts"]
                calls = [partial(service.get, path) for path in paths]
                assert median(times(calls, 200)) < SOON
            assert median(buy_both(service, events[0], 5)) < SOON
        assert all(refused(answer) for answer in answers)
