"""Cancelling what is paid, and giving the money back."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.buyers import at_once
from tests.support.databases import balanced_database, connected, migrated_database
from tests.support.degradation import eventually, row_locked
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.internal import TOKEN, metric, tell_payment
from tests.support.others import end, pay
from tests.support.payments import check_refund, run_out, verdicts
from tests.support.refunds import Reservation, check_told, due, move_event, now, write_refunded
from tests.support.service import Service, run_service
from tests.support.wire import check_error, is_korean

ROUNDS = 5
"""Tries that the negative control has to go wrong; unless the machine is busy, the first does."""


@pytest.fixture(scope="module")
def database_url(servers: Servers) -> Iterator[str]:
    """A database in which an event may have no date, as in an installation that allows it."""
    with migrated_database(servers.database_url) as url:
        with connected(url) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER TABLE events ALTER event_date DROP NOT NULL")
        yield url


database = balanced_database


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    with run_service(folder, DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket(total=100)])


@pytest.fixture
def hold(service: Service, event: Event) -> Reservation:
    return Reservation(service, event)


# Cancelling


def test_the_refund_of_a_cancelled_reservation_is_due_until_it_is_told(
    service: Service, database: Connection, hold: Reservation
):
    assert hold.tell("completed").status == 200
    before = metric(service, "ticket_refunds_due_total")
    assert hold.cancel("en").json()["message"].endswith("Your payment will be refunded.")
    assert hold.shown() == ("cancelled", "completed")
    assert due(database, hold) == ["one"]
    assert metric(service, "ticket_refunds_due_total") == before + 1
    for _ in range(2):
        check_told(hold.tell("refunded"), hold, "cancelled", "refunded")
        assert hold.shown() == ("cancelled", "refunded")
        assert due(database, hold) == []
    assert verdicts(database, hold.id) == ["CONFIRMED", "REFUNDED", "REFUNDED"]
    check_told(hold.tell("completed"), hold, "cancelled", "refunded")
    check_error(hold.cancel(), 409, "ALREADY_CANCELLED")
    assert metric(service, "ticket_refunds_due_total") == before + 1


def test_no_refund_is_due_for_what_was_never_paid(
    service: Service, database: Connection, hold: Reservation
):
    before = metric(service, "ticket_refunds_due_total")
    assert hold.cancel("en").json()["message"] == "Your reservation is cancelled."
    assert hold.shown() == ("cancelled", "failed")
    assert due(database, hold) == verdicts(database, hold.id) == []
    assert metric(service, "ticket_refunds_due_total") == before


def test_a_payment_that_the_payment_service_wrote_is_due_too(
    database: Connection, hold: Reservation
):
    assert pay(database, hold.id)
    assert hold.cancel().status == 200
    assert due(database, hold) == [f"reservation:{hold.id}"]
    assert hold.shown() == ("cancelled", "completed")
    write_refunded(database, hold)
    assert due(database, hold) == []
    check_told(hold.tell("refunded"), hold, "cancelled", "refunded")
    assert due(database, hold) == []


def test_a_written_payment_has_its_own_id_as_soon_as_it_is_told(
    database: Connection, hold: Reservation
):
    assert pay(database, hold.id)
    assert hold.cancel().status == 200
    for _ in range(2):
        check_told(hold.tell("completed"), hold, "cancelled", "completed")
        assert due(database, hold) == ["one"]
    check_refund(hold.tell("completed", "two"), hold.id, f"two-{hold.id}", 100_000)
    assert due(database, hold) == ["one", "two"]
    check_told(hold.tell("refunded", "two"), hold, "cancelled", "completed")
    assert due(database, hold) == ["one"]
    check_told(hold.tell("refunded"), hold, "cancelled", "refunded")
    assert due(database, hold) == []


def test_a_written_payment_may_be_told_of_by_its_refund(database: Connection, hold: Reservation):
    assert pay(database, hold.id)
    assert hold.cancel().status == 200
    check_told(hold.tell("refunded"), hold, "cancelled", "refunded")
    assert due(database, hold) == []
    check_told(hold.tell("completed"), hold, "cancelled", "refunded")
    assert due(database, hold) == []


@pytest.mark.parametrize("paid", [False, True], ids=["unpaid", "paid"])
def test_nothing_is_cancelled_once_the_event_has_begun(
    event: Event, database: Connection, hold: Reservation, paid: bool
):
    if paid:
        assert hold.tell("completed").status == 200
    before = hold.shown()
    move_event(database, event, now() - timedelta(seconds=1))
    refused = hold.cancel()
    assert is_korean(check_error(refused, 409, "CANCELLATION_CLOSED")["error"])
    english = check_error(hold.cancel("en"), 409, "CANCELLATION_CLOSED")["error"]
    assert "begun" in english
    assert hold.shown() == before
    assert due(database, hold) == []
    move_event(database, event, now() + timedelta(minutes=1))
    assert hold.cancel().status == 200
    move_event(database, event, now() - timedelta(seconds=1))
    check_error(hold.cancel(), 409, "ALREADY_CANCELLED")


def test_an_event_without_a_date_has_not_begun(
    event: Event, database: Connection, hold: Reservation
):
    move_event(database, event, None)
    assert hold.cancel().status == 200


def test_what_is_over_is_over_whether_the_event_has_begun_or_not(
    event: Event, database: Connection, hold: Reservation
):
    end(database, hold.id)
    move_event(database, event, now() - timedelta(seconds=1))
    check_error(hold.cancel(), 409, "RESERVATION_EXPIRED")


# Telling of refunds


def test_the_refund_of_a_late_payment(
    service: Service, event: Event, database: Connection, hold: Reservation
):
    run_out(database, hold.id)
    Reservation(service, event)
    check_refund(hold.tell("completed"), hold.id, f"one-{hold.id}", 100_000)
    assert due(database, hold) == ["one"]
    check_told(hold.tell("refunded"), hold, "cancelled", "failed")
    assert due(database, hold) == []
    # Told once more, it must not be given back once more.
    check_told(hold.tell("completed"), hold, "cancelled", "failed")
    assert due(database, hold) == []


def test_the_refund_of_a_second_payment_leaves_the_first(database: Connection, hold: Reservation):
    assert hold.tell("completed").status == 200
    assert hold.tell("completed", "two").status == 409
    check_told(hold.tell("refunded", "two"), hold, "confirmed", "completed")
    assert due(database, hold) == []
    assert hold.cancel().status == 200
    assert due(database, hold) == ["one"]


def test_a_refund_without_a_cancellation(database: Connection, hold: Reservation):
    assert hold.tell("completed").status == 200
    check_told(hold.tell("refunded"), hold, "confirmed", "refunded")
    check_told(hold.tell("completed"), hold, "confirmed", "refunded")
    # Paid once more, it is the second payment that is given back.
    check_told(hold.tell("completed", "two"), hold, "confirmed", "completed")
    check_told(hold.tell("refunded"), hold, "confirmed", "completed")
    assert hold.cancel().status == 200
    assert due(database, hold) == ["two"]


def test_what_was_given_back_is_not_due_again(database: Connection, hold: Reservation):
    """Paid and refunded, then paid once more by the Payment Service, in the table itself."""
    assert hold.tell("completed").status == 200
    check_told(hold.tell("refunded"), hold, "confirmed", "refunded")
    assert pay(database, hold.id)
    assert hold.cancel().status == 200
    assert due(database, hold) == [f"reservation:{hold.id}"]


def test_a_refund_that_is_told_before_its_payment(database: Connection, hold: Reservation):
    check_told(hold.tell("refunded"), hold, "pending", "pending")
    check_told(hold.tell("completed"), hold, "pending", "pending")
    assert due(database, hold) == []
    check_told(hold.tell("completed", "two"), hold, "confirmed", "completed")


def test_a_refund_is_of_one_reservation(service: Service, event: Event, database: Connection):
    first, second = Reservation(service, event), Reservation(service, event, 2)
    assert first.tell("completed").status == 200
    reused = tell_payment(service, second.id, "refunded", payment_id=f"one-{first.id}")
    check_error(reused, 409, "VALIDATION_ERROR")
    assert verdicts(database, second.id) == []
    unknown = tell_payment(service, "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab", "refunded")
    check_error(unknown, 404, "RESERVATION_NOT_FOUND")


# At the same moment

WAITERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def meet(service: Service, event: Event, database: Connection) -> Reservation:
    """A paid reservation is cancelled, and a refund told before the cancellation commits."""
    hold = Reservation(service, event)
    assert hold.tell("completed").status == 200
    with ThreadPoolExecutor() as threads:
        with row_locked(database, "seats", event.seat_ids[0]):
            cancelled = threads.submit(hold.cancel)
            eventually(lambda: one(database, WAITERS) == 1)
            refunded = threads.submit(hold.tell, "refunded")
            eventually(lambda: one(database, WAITERS) == 2)
        while cancelled.result().status == 503:  # a busy machine had no time for it
            cancelled = threads.submit(hold.cancel)
        while refunded.result().status == 503:
            refunded = threads.submit(hold.tell, "refunded")
    assert (cancelled.result().status, refunded.result().status) == (200, 200)
    assert hold.shown() == ("cancelled", "refunded")
    return hold


def test_a_refund_that_is_told_during_the_cancellation_settles_it(
    service: Service, event: Event, database: Connection
):
    hold = meet(service, event, database)
    assert "REFUND_DUE" not in verdicts(database, hold.id)
    assert due(database, hold) == []


def test_without_its_lock_a_refund_that_was_made_stays_due(
    event: Event, database: Connection, database_url: str, start_service: Callable[..., Service]
):
    """The negative control of the test above."""
    unguarded = start_service(
        app="tests.support.unguarded:app",
        DATABASE_URL=database_url,
        INTERNAL_API_TOKEN=TOKEN,
        UNGUARDED="refunded reservation",
    )
    for seat in range(ROUNDS):
        one_event = replace(event, seat_ids=event.seat_ids[2 * seat :])
        if "REFUND_DUE" in verdicts(database, meet(unguarded, one_event, database).id):
            return
    pytest.fail("the race did not show the missing guard")


def test_many_cancellations_at_once_make_one_refund_due(
    service: Service, database: Connection, hold: Reservation
):
    assert hold.tell("completed").status == 200
    answers = at_once([hold.cancel] * 10)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert due(database, hold) == ["one"]
