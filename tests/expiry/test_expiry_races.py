"""Payments, cancellations and ends of holds at the same moment."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support import factories
from tests.support.books import faults
from tests.support.buyers import token_for
from tests.support.databases import connected, new_database
from tests.support.expiry import StartService, states
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.internal import TOKEN, audit, tell_payment
from tests.support.others import pay
from tests.support.service import Service
from tests.support.wire import check_soon
from ticket_service.stores import schema

Action = Callable[[Connection], object]

ROUNDS = 10
"""Tries that a negative control has to go wrong; nearly always it does in the first."""

PACE = 0.004
"""Seconds between the ends of two holds of a meeting."""


class Meeting:
    """A payment, a cancellation and its end meet on each of many holds, the ends of which are
    spread over some seconds; `found` is what was wrong with the books at any moment."""

    def __init__(self, instances: list[Service], database_url: str, event: Event) -> None:
        self.found: list[str] = []
        self._instances = instances[:2]
        self._database_url = database_url
        self._event = event
        self._user_id = str(uuid4())
        self._token = token_for(self._user_id)
        self._chance = random.Random(3)
        self._over = threading.Event()
        self._jobs: SimpleQueue[tuple[float, Action] | None] = SimpleQueue()

    def run(self, database: Connection, count: int) -> Counter[str]:
        """Meet on so many holds; how they ended up."""
        event = self._event
        start = time.time() + 1
        holds = hold_seats(database, event, event.seat_ids, 300, self._user_id)
        holds += hold_tickets(database, event, count - len(holds), 300, self._user_id)
        self._chance.shuffle(holds)
        with database.cursor() as cursor:
            cursor.execute(
                "UPDATE reservations r SET expires_at = to_timestamp(%s + held.number * %s)"
                " AT TIME ZONE 'UTC' FROM unnest(%s::uuid[]) WITH ORDINALITY AS held (id, number)"
                " WHERE r.id = held.id",
                (start, PACE, holds),
            )
        for job in sorted(self._plan(holds, start), key=lambda job: job[0]):
            self._jobs.put(job)
        threads = [threading.Thread(target=self._work) for _ in range(16)]
        for _ in threads:
            self._jobs.put(None)
        auditor = threading.Thread(target=self._look)
        for thread in (*threads, auditor):
            thread.start()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 5
        while states(database, event)["pending"] and time.monotonic() < deadline:
            time.sleep(0.05)
        self._over.set()
        auditor.join()
        self.found += faults(database, event)
        return states(database, event)

    def _plan(self, holds: list[str], start: float) -> Iterator[tuple[float, Action]]:
        for number, held in enumerate(holds, start=1):
            instance, other = self._chance.sample(self._instances, 2)
            moment = start + number * PACE + self._chance.uniform(-0.05, 0.3)
            pays = partial(self._pay, instance) if self._chance.random() < 0.5 else pay
            yield moment, lambda connection, held=held, pays=pays: pays(connection, held)
            moment += self._chance.uniform(-0.01, 0.01)
            yield moment, lambda _, held=held, other=other: self._cancel(other, held)

    def _pay(self, instance: Service, _: Connection, held: str) -> None:
        assert tell_payment(instance, held).status in (200, 409)

    def _cancel(self, instance: Service, held: str) -> None:
        answer = instance.post(f"/reservations/{held}/cancel", token=self._token)
        assert answer.status in (200, 409), answer.body

    def _work(self) -> None:
        with connected(self._database_url) as connection:
            while job := self._jobs.get():
                moment, action = job
                time.sleep(max(0, moment - time.time()))
                try:
                    action(connection)
                except Exception as error:
                    self.found.append(repr(error))

    def _look(self) -> None:
        with connected(self._database_url) as connection:
            while not self._over.wait(0.1):
                self.found += faults(connection, self._event)


def test_payment_cancellation_and_expiry_at_the_same_moment(
    instances: list[Service], make_event: MakeEvent, database: Connection, database_url: str
):
    event = make_event(sections=[section(rows=20, seats=50)], tickets=[ticket(total=3_000)])
    meeting = Meeting(instances, database_url, event)
    ends = meeting.run(database, 2_000)
    print(dict(ends))
    assert meeting.found == []
    assert ends.keys() == {"confirmed", "cancelled", "expired"}
    assert min(ends.values()) > 20
    assert audit(instances[2]) == []


@pytest.fixture
def unguarded(
    servers: Servers, start_service: StartService
) -> Iterator[Callable[[str], tuple[list[Service], str]]]:
    """Start two instances without the named guard, on a database that may end up wrong."""
    with new_database(servers.database_url) as url:
        started: list[Service] = []

        def start(guard: str) -> tuple[list[Service], str]:
            schema.migrate(url, "public")
            env = {"UNGUARDED": guard, "DATABASE_URL": url, "INTERNAL_API_TOKEN": TOKEN}
            started.extend(
                start_service(app="tests.support.unguarded:app", **env) for _ in range(2)
            )
            return started, url

        yield start
        for instance in started:
            instance.kill()


def test_without_the_lock_a_payment_meets_a_cancellation_and_the_books_go_wrong(
    unguarded: Callable[[str], tuple[list[Service], str]],
):
    instances, url = unguarded("paid reservation")
    with connected(url) as database:
        for _ in range(ROUNDS):
            event = factories.make_event(
                database, sections=[section(seats=100)], tickets=[ticket(total=1_000)]
            )
            meeting = Meeting(instances, url, event)
            meeting.run(database, 400)
            if meeting.found:
                return
    pytest.fail("the race did not show the missing guard")


def test_without_row_locks_two_instances_release_the_same_hold(
    unguarded: Callable[[str], tuple[list[Service], str]],
):
    _, url = unguarded("due holds")
    with connected(url) as database:
        for _ in range(ROUNDS):
            event = factories.make_event(database, tickets=[ticket(total=4_000)])
            hold_tickets(database, event, 2_000, 0.3)
            check_soon(lambda event=event: states(database, event)["pending"], 0, seconds=10)
            if faults(database, event):
                return
    pytest.fail("the race did not show the missing guard")
