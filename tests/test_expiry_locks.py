"""Rows that another program keeps locked: the holds that need them wait, and nobody else's do."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.internal import metric
from tests.support.service import Service, run_service
from tests.support.wire import check_soon

MANY = 250
"""Holds of one event: more than are ended in one transaction."""

PAUSE = 6.0
"""Seconds within which what was locked for long is tried again, and some for a slow machine."""


database_url = own_database_url
"""A database in which only the instances of these tests end holds."""


database = balanced_database


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    """The only one: what it does not do, nobody does."""
    with run_service(folder, DATABASE_URL=database_url) as instance:
        yield instance
        instance.kill()


@contextmanager
def locked(database_url: str, statement: str, *values: object) -> Iterator[None]:
    """Another program that keeps what the statement locks until the block ends."""
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute(statement, values)
        yield
        other.rollback()


def states(database: Connection, *events: Event) -> Counter[str]:
    """How many reservations of the events have which status."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT status, count(*) FROM reservations WHERE event_id = ANY (%s::uuid[])"
            " GROUP BY status",
            ([event.id for event in events],),
        )
        return Counter(dict(cursor.fetchall()))


def longest_lag(database: Connection, event: Event, end: float) -> float:
    """Seconds from the end of the event's holds to the release of the last one."""
    last = f"SELECT max(updated_at) FROM reservations WHERE event_id = '{event.id}'"
    return float(one(database, f"SELECT extract(epoch FROM ({last}))")) - end


def hold_all(database: Connection, event: Event, seconds: float) -> float:
    """Hold all seats and some tickets of the event until so many seconds from now: until when."""
    hold_seats(database, event, event.seat_ids, seconds)
    hold_tickets(database, event, 20, seconds)
    last = f"SELECT max(expires_at) FROM reservations WHERE event_id = '{event.id}'"
    return float(one(database, f"SELECT extract(epoch FROM ({last}))"))


def buy(service: Service, event: Event) -> float:
    """Hold a ticket; the seconds that it took."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    order = {"eventId": event.id, "items": items}
    started = time.monotonic()
    assert service.post("/reservations", token=token_for(), json=order).status == 201
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("lock", "left"),
    [
        ("SELECT FROM ticket_types WHERE event_id = %s FOR UPDATE", 20),
        ("SELECT FROM seats WHERE event_id = %s FOR UPDATE", MANY),
        ("SELECT FROM reservations WHERE event_id = %s FOR UPDATE", MANY + 20),
        ("SELECT FROM events WHERE id = %s FOR UPDATE", 0),
    ],
    ids=["ticket type", "seats", "reservations", "event"],
)
def test_a_locked_row_of_one_event_delays_no_other(
    service: Service,
    make_event: MakeEvent,
    database: Connection,
    database_url: str,
    lock: str,
    left: int,
):
    stuck = make_event(sections=[section(seats=MANY)], tickets=[ticket()])
    free, on_sale = (
        make_event(sections=[section()], tickets=[ticket(total=1_000)]) for _ in range(2)
    )
    hold_all(database, stuck, 1)
    with locked(database_url, lock, stuck.id):
        time.sleep(1.5)
        end = hold_all(database, free, 1)
        hold_all(database, on_sale, 1)  # so that its rows are wanted together with those of others
        slowest = 0.0
        while time.time() < end + 1:
            slowest = max(slowest, buy(service, on_sale))
        assert states(database, free) == Counter(expired=30)
        assert longest_lag(database, free, end) < 1
        assert slowest < 1
        # And of the event itself, what does not need the rows.
        check_soon(lambda: states(database, stuck)["pending"], left, seconds=PAUSE)
        aside = metric(service, "ticket_expiry_aside_events")
        assert aside == (0 < left <= MANY)
    check_soon(lambda: states(database, stuck)["pending"], 0, seconds=PAUSE)
    check_soon(lambda: metric(service, "ticket_expiry_aside_events"), 0.0, seconds=PAUSE)
    assert metric(service, "ticket_expiry_overdue_seconds") < 5
    assert metric(service, "ticket_loop_failures_total", loop="expiry") == 0


def test_of_one_event_only_the_holds_that_need_the_locked_rows_wait(
    service: Service, make_event: MakeEvent, database: Connection, database_url: str
):
    event = make_event(
        sections=[section(seats=MANY)], tickets=[ticket(), ticket("VIP", total=1_000)]
    )
    stuck = event.seat_ids[: MANY - 10]
    locks = """
        SELECT FROM seats WHERE id = ANY (%s::uuid[]) FOR UPDATE;
        SELECT FROM ticket_types WHERE id = %s FOR UPDATE
    """
    vip = Event(event.id, event.title, ticket_type_ids=event.ticket_type_ids[1:])
    hold_seats(database, event, stuck, 1)
    hold_seats(database, event, event.seat_ids[len(stuck) :], 1.1)
    hold_tickets(database, vip, 15, 1.2)
    with locked(database_url, locks, stuck, event.ticket_type_ids[0]):
        check_soon(lambda: states(database, event)["expired"], 10 + 15, seconds=PAUSE)
        time.sleep(3)  # in which it is tried again and again
        assert states(database, event) == {"expired": 25, "pending": len(stuck)}
        [line] = [
            line
            for line in service.log_lines()
            if line["message"] == "holds wait for rows" and line["event_id"] == event.id
        ]
        assert set(line["rows"]) < {*stuck, event.ticket_type_ids[0]}
        assert metric(service, "ticket_expiry_aside_seconds") > 2
    check_soon(lambda: states(database, event), Counter(expired=MANY + 15), seconds=PAUSE)


def test_holds_of_a_ticket_type_that_is_never_left_alone_end_in_time(
    service: Service, make_event: MakeEvent, database: Connection, database_url: str
):
    """It is always locked by one buyer or the other, and so are many others by one program for
    long: whoever does not wait for the row never gets it."""
    busy = make_event(tickets=[ticket(total=2_000)])
    stuck = [make_event(tickets=[ticket()]) for _ in range(30)]
    over = threading.Event()

    def rush() -> None:
        with closing(psycopg2.connect(database_url)) as buyer, buyer.cursor() as cursor:
            while not over.is_set():
                cursor.execute(
                    "SELECT FROM ticket_types WHERE event_id = %s FOR UPDATE", (busy.id,)
                )
                cursor.execute("SELECT pg_sleep(0.003)")
                buyer.commit()

    threads = [threading.Thread(target=rush) for _ in range(4)]
    locks = "SELECT FROM ticket_types WHERE event_id = ANY (%s::uuid[]) FOR UPDATE"
    for event in stuck:
        hold_tickets(database, event, 3, 1)
    hold_tickets(database, busy, 500, 2)
    with locked(database_url, locks, [event.id for event in stuck]):
        for thread in threads:
            thread.start()
        try:
            time.sleep(2)
            check_soon(lambda: states(database, busy)["pending"], 0, seconds=4)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert states(database, *stuck) == {"pending": 3 * len(stuck)}
    check_soon(lambda: states(database, *stuck), Counter(expired=3 * len(stuck)), seconds=PAUSE)


def test_after_a_locked_table_all_holds_end(
    service: Service, make_event: MakeEvent, database: Connection, database_url: str
):
    event = make_event(sections=[section()], tickets=[ticket()])
    with locked(database_url, "LOCK TABLE seats IN ACCESS EXCLUSIVE MODE"):
        time.sleep(3)
    hold_all(database, event, 0.1)
    check_soon(lambda: states(database, event), Counter(expired=30), seconds=PAUSE)
