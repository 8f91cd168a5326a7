"""No sale takes the connections that readers need."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.conftest import balanced, migrated_database
from tests.support import factories
from tests.support.buyers import token_for
from tests.support.factories import Event, section, ticket
from tests.support.internal import TOKEN
from tests.support.service import Response, Service, run_service
from tests.test_degradation import buy_ticket, eventually, row_locked, timed

SOON = 1.0
"""Seconds: less than a lock time-out, so nobody has waited behind one that ran out."""

BUYER = str(uuid4())


@pytest.fixture(scope="module")
def database_url(servers: Servers) -> Iterator[str]:
    """A database that only these tests write, so that its books can be checked."""
    with migrated_database(servers.database_url) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    """A connection to arrange and to check with; after each test the books must balance."""
    with balanced(database_url) as connection:
        yield connection


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


def test_reads_go_on_while_sales_are_stuck(
    service: Service, database: Connection, events: list[Event]
):
    token = token_for()
    with stuck(service, database, *events[:3]) as answers:
        eventually(lambda: len(answers) > 20)
        for event in events:
            paths = [f"/events/{event.id}", f"/seats/events/{event.id}", "/reservations/my"]
            calls = [partial(service.get, path, token=token) for path in paths]
            assert max(times(calls, 200)) < SOON
