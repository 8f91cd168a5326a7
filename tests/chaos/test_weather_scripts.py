"""A connection to PostgreSQL dies in each statement of each script: nothing is half done, and the
same request succeeds when it is repeated."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import buy_seat, buy_ticket, eventually, refused
from tests.support.factories import Event, one, section, ticket
from tests.support.holds import hold_tickets
from tests.support.internal import TOKEN, tell_payment
from tests.support.service import Response, Service, run_service
from ticket_service.stores.sql_files import FOLDER, read_statements

database_url = own_database_url
database = balanced_database

Act = Callable[[], Response]

BUYER = "SELECT pg_advisory_lock(hashtextextended('ticket-service:buyer:{buyer}', 0))"
PAYMENT = "SELECT pg_advisory_lock(hashtextextended('ticket-service:payment:{payment}', 0))"

# EXCLUSIVE is in the way of everything that locks a row, SHARE only of what writes.
WAITS = {
    "hold_seats": {
        "lock_buyer": BUYER,
        "lock_seats": "LOCK TABLE seats IN EXCLUSIVE MODE",
        "hold_seats": "LOCK TABLE reservations IN SHARE MODE",
    },
    "hold_tickets": {
        "lock_buyer": BUYER,
        "lock_ticket_types": "LOCK TABLE ticket_types IN EXCLUSIVE MODE",
        "hold_tickets": "LOCK TABLE reservations IN SHARE MODE",
    },
    "cancel": {
        "lock_reservation": "LOCK TABLE reservations IN EXCLUSIVE MODE",
        "lock_its_seats": "LOCK TABLE seats IN EXCLUSIVE MODE",
        "lock_its_ticket_types": "LOCK TABLE ticket_types IN EXCLUSIVE MODE",
        "cancel": "LOCK TABLE reservations IN SHARE MODE",
    },
    "record_payment": {
        "lock_payment": PAYMENT,
        "lock_paid_reservation": "LOCK TABLE reservations IN EXCLUSIVE MODE",
        "lock_paid_seats": "LOCK TABLE seats IN EXCLUSIVE MODE",
        "record_payment": "LOCK TABLE ticket_service_payments IN SHARE MODE",
    },
    "record_refund": {
        "lock_payment": PAYMENT,
        "lock_paid_reservation": "LOCK TABLE reservations IN EXCLUSIVE MODE",
        "record_refund": "LOCK TABLE ticket_service_payments IN SHARE MODE",
    },
}
"""By script and statement: the lock of another program for which only this statement waits."""

LOOPS = {"expire", "wait_for_ticket_type", "settle_events"}
"""The scripts of loops: tested below."""

NEVER_WAITS = {"wait_briefly"}
"""It only sets a time-out for the next statement."""

STATE = """
    SELECT json_build_array(
        (SELECT json_agg(s.status ORDER BY s.id) FROM seats s WHERE event_id = '{event}'),
        (SELECT json_agg(available_quantity) FROM ticket_types WHERE event_id = '{event}'),
        (SELECT json_agg(json_build_array(status, payment_status, expires_at) ORDER BY id)
         FROM reservations WHERE event_id = '{event}'),
        (SELECT json_agg(json_build_array(p.payment_id, p.verdict) ORDER BY p.id)
         FROM ticket_service_payments p JOIN reservations r ON r.id = p.reservation_id
         WHERE r.event_id = '{event}')
    )::text
"""

# The statement is prepared first where the connection is new, and that waits for the same lock.
KILL_WAITER = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'ticket-service' AND datname = current_database()
      AND wait_event_type = 'Lock' AND query ~ '(PREPARE|EXECUTE) {statement}_'
"""


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    """An instance with one connection for sales, so that it has prepared what it is asked for."""
    env = {"DATABASE_URL": database_url, "INTERNAL_API_TOKEN": TOKEN, "DB_POOL_SIZE": "1"}
    with run_service(folder, **env) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


class Order:
    """What one person does with an event."""

    def __init__(self, service: Service, event: Event) -> None:
        self.service = service
        self.event = event
        self.buyer, self.payment = str(uuid4()), str(uuid4())
        self.token = token_for(self.buyer)

    def act(self, script: str) -> Act:
        """Do everything that comes before, and return the request that runs the script."""
        key = {"Idempotency-Key": str(uuid4())}
        if script == "hold_seats":
            return lambda: buy_seat(self.service, self.event, token=self.token, headers=key)
        if script == "hold_tickets":
            items = [{"ticketTypeId": self.event.ticket_type_ids[0], "quantity": 2}]
            order = {"eventId": self.event.id, "items": items}
            return lambda: self.service.post(
                "/reservations", token=self.token, json=order, headers=key
            )
        held = buy_seat(self.service, self.event, token=self.token).json()["reservation"]["id"]
        if script == "cancel":
            return lambda: self.service.post(f"/reservations/{held}/cancel", token=self.token)
        if script == "record_payment":
            return lambda: tell_payment(self.service, held, payment_id=self.payment)
        assert tell_payment(self.service, held, payment_id=self.payment).status == 200
        return lambda: tell_payment(self.service, held, "refunded", self.payment)


def state(database: Connection, event: Event) -> str:
    return str(one(database, STATE.format(event=event.id)))


@contextmanager
def kept_waiting(database: Connection, lock: str) -> Iterator[None]:
    """Another program has this lock until the block ends."""
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute(lock)
        yield


def kill_in(database: Connection, statement: str) -> None:
    """Wait until a connection waits in this statement, and end it."""
    eventually(lambda: one(database, KILL_WAITER.format(statement=statement)) == 1)


@pytest.mark.parametrize(
    ("script", "statement"),
    [(script, statement) for script, waits in WAITS.items() for statement in waits],
)
def test_a_connection_that_dies_in_a_statement_leaves_nothing_half_done(
    service: Service,
    event: Event,
    make_event: Callable[..., Event],
    database: Connection,
    script: str,
    statement: str,
):
    before = Order(service, make_event(sections=[section()], tickets=[ticket()]))
    assert before.act(script)().status in (200, 201)  # prepares the statements
    order = Order(service, event)
    act = order.act(script)
    was = state(database, event)
    lock = WAITS[script][statement].format(buyer=order.buyer, payment=order.payment)
    with ThreadPoolExecutor() as threads, kept_waiting(database, lock):
        answer = threads.submit(act)
        kill_in(database, statement)
        assert refused(answer.result())
    assert state(database, event) == was
    assert act().status in (200, 201)
    done = state(database, event)
    assert done != was
    assert act().status in ((409,) if script == "cancel" else (200, 201))
    assert state(database, event) == done


def test_an_expired_hold_ends_although_the_connection_died(
    service: Service, event: Event, database: Connection
):
    hold_tickets(database, event, 1, seconds=2)
    with kept_waiting(database, "LOCK TABLE ticket_types IN SHARE MODE"):
        kill_in(database, "expire")
    eventually(lambda: "expired" in state(database, event))
    stock = f"SELECT available_quantity FROM ticket_types WHERE event_id = '{event.id}'"
    assert one(database, stock) == 100


def test_an_expired_hold_ends_although_the_connection_died_as_it_waited_for_the_ticket_type(
    service: Service, event: Event, database: Connection
):
    hold_tickets(database, event, 1, seconds=0)
    lock = f"SELECT FROM ticket_types WHERE event_id = '{event.id}' FOR UPDATE"
    with kept_waiting(database, lock):
        kill_in(database, "wait_for_ticket_type")
        assert "expired" not in state(database, event)
    eventually(lambda: "expired" in state(database, event))


def test_an_event_is_sold_out_although_the_connection_died(
    service: Service, make_event: Callable[..., Event], database: Connection
):
    event = make_event(tickets=[ticket(total=1)])
    with kept_waiting(database, "LOCK TABLE events IN SHARE MODE"):
        assert buy_ticket(service, event).status == 201
        kill_in(database, "settle_events")
    status = f"SELECT status FROM events WHERE id = '{event.id}'"
    eventually(lambda: one(database, status) == "sold_out")


def test_every_statement_of_every_script_has_its_turn():
    scripts = {path.stem: set(read_statements(path.stem)) for path in FOLDER.glob("*.sql")}
    assert scripts.keys() == WAITS.keys() | LOOPS
    for script, waits in WAITS.items():
        assert scripts[script] == waits.keys()
    assert set().union(*(scripts[name] for name in LOOPS)) - NEVER_WAITS == LOOPS
