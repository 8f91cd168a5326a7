"""A payment that another program writes into the tables ends the stay inside."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.factories import Event
from tests.support.holds import hold_seats
from tests.support.line_state import RULES
from tests.support.others import pay
from tests.support.service import Service, run_services
from tests.support.visitors import Visitor, arrive, overview, run_queue
from tests.support.waiting_lines import own_redis_url
from tests.support.wire import check_soon
from ticket_service.stores.redis import Redis
from ticket_service.stores.waiting_lines import WaitingLines

redis_url = own_redis_url

PROMISED = 2.0
"""Seconds within which such a payment ends the stay."""


@pytest.fixture(scope="module")
def instances(redis_url: str, folder: Path) -> Iterator[list[Service]]:
    with run_services(folder, 2, REDIS_URL=redis_url) as started:
        yield started


@pytest.fixture
def service(instances: list[Service]) -> Service:
    return instances[0]


def hold(database: Connection, event: Event, visitor: Visitor, seat: int = 0) -> str:
    """One seat, held for a minute; the reservation's id."""
    [held] = hold_seats(database, event, [event.seat_ids[seat]], 60, visitor.id)
    return held


def test_a_payment_in_the_tables_ends_the_stay_and_lets_the_next_in(
    service: Service, event: Event, database: Connection
):
    run_queue(service, event.id, threshold=1)
    buyer, waiting = arrive(service, event.id, 2)
    held = hold(database, event, buyer)
    assert waiting.stands() == ("queued", 1)
    assert pay(database, held)
    check_soon(waiting.stands, ("active", 0), seconds=PROMISED)
    assert buyer.stands() == ("not_in_queue", 0)


def test_whoever_comes_in_again_for_more_stays(
    service: Service, event: Event, database: Connection
):
    [buyer] = arrive(service, event.id, 1)
    assert pay(database, hold(database, event, buyer))
    check_soon(buyer.stands, ("not_in_queue", 0), seconds=PROMISED)
    assert buyer.check()["status"] == "active"
    until = time.monotonic() + 2 * PROMISED
    while time.monotonic() < until:
        assert buyer.stands() == ("active", 0)
        time.sleep(0.1)


def test_a_hold_of_an_earlier_stay_that_is_paid_ends_the_one_of_now(
    service: Service, event: Event, database: Connection
):
    visitor = Visitor(service, event.id)
    first, second = hold(database, event, visitor), hold(database, event, visitor, 1)
    visitor.check()
    assert pay(database, first)
    check_soon(visitor.stands, ("not_in_queue", 0), seconds=PROMISED)
    visitor.check()
    assert pay(database, second)
    check_soon(visitor.stands, ("not_in_queue", 0), seconds=PROMISED)


def test_only_the_payer_and_only_in_that_event(
    service: Service, event: Event, make_event: Callable[..., Event], database: Connection
):
    """Who waits goes on waiting, and a hold that is not paid ends nothing."""
    other = make_event()
    buyer, neighbour = arrive(service, event.id, 2)
    elsewhere = Visitor(service, other.id, buyer.id)
    elsewhere.check()
    hold(database, event, neighbour, 1)
    held = hold(database, event, buyer)
    run_queue(service, event.id, paused=True)
    waiting = Visitor(service, event.id)
    assert waiting.check()["position"] == 1
    assert pay(database, hold(database, event, waiting, 2))
    assert pay(database, held)
    check_soon(buyer.stands, ("not_in_queue", 0), seconds=PROMISED)
    assert waiting.stands() == ("queued", 1)
    assert (neighbour.stands(), elsewhere.stands()) == (("active", 0), ("active", 0))


def test_a_payment_that_waited_for_its_rows_ends_the_stay(
    service: Service, event: Event, database: Connection
):
    """Its hold may be over by the time it commits, and its clock is when it began."""
    [buyer] = arrive(service, event.id, 1)
    held = hold(database, event, buyer)
    with database.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            "UPDATE reservations SET status = 'confirmed', payment_status = 'completed'"
            " WHERE id = %s",
            (held,),
        )
        time.sleep(PROMISED)
        assert buyer.stands() == ("active", 0)
        cursor.execute("COMMIT")
    check_soon(buyer.stands, ("not_in_queue", 0), seconds=PROMISED)


@pytest.mark.parametrize("expires_at", ["NULL", "'2020-01-01'"])
def test_a_reservation_that_an_operator_confirms_ends_the_stay_whenever_its_hold_ends(
    service: Service, event: Event, database: Connection, expires_at: str
):
    [buyer] = arrive(service, event.id, 1)
    held = hold(database, event, buyer)
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE reservations SET status = 'confirmed', expires_at = {expires_at}"
            f" WHERE id = '{held}'"
        )
    check_soon(buyer.stands, ("not_in_queue", 0), seconds=PROMISED)


def test_more_people_than_one_call_to_redis_takes(
    service: Service, redis_url: str, event: Event, database: Connection
):
    many = 1_100
    people = [str(uuid4()) for _ in range(many)]
    lines = WaitingLines(Redis(redis_url), replace(RULES, threshold=many, max_stay_seconds=900))
    for user_id in people:
        assert lines.enter(event.id, user_id).status == "active"
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, status,"
            " payment_status, expires_at)"
            " SELECT id::uuid, %s, id || %s, 1, 'confirmed', 'completed',"
            " clock_timestamp() AT TIME ZONE 'UTC' + interval '1 minute'"
            " FROM unnest(%s) AS id",
            (event.id, "-" + event.id[:8], people),
        )
    check_soon(lambda: overview(service, event.id)["currentUsers"], 0, seconds=PROMISED)


def test_a_hold_that_another_program_released_is_no_payment(
    service: Service, event: Event, database: Connection
):
    [visitor] = arrive(service, event.id, 1)
    held = hold(database, event, visitor)
    with database.cursor() as cursor:
        cursor.execute("UPDATE reservations SET status = 'cancelled' WHERE id = %s", (held,))
    time.sleep(PROMISED)
    assert visitor.stands() == ("active", 0)


def test_while_one_instance_is_gone_the_other_looks(
    instances: list[Service], event: Event, database: Connection
):
    [buyer] = arrive(instances[0], event.id, 1)
    held = hold(database, event, buyer)
    instances[1].kill()
    assert pay(database, held)
    check_soon(buyer.stands, ("not_in_queue", 0), seconds=PROMISED)
