"""Payments, cancellations, ends of holds and new buyers at the same moment."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from tests.support.books import check_books
from tests.support.buyers import at_once, token_for
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.internal import tell_payment
from tests.support.others import end
from tests.support.payments import buy_seats, buy_tickets, state, stock, verdicts
from tests.support.service import Service
from tests.support.wire import check_soon


def test_two_payments_at_once_take_the_money_once(
    instances: list[Service], event: Event, database: Connection
):
    for seat in range(10):
        held = buy_seats(instances[0], event, seat)
        answers = at_once(
            [lambda n=n, held=held: tell_payment(instances[n % 2], held) for n in range(6)]
        )
        assert sorted(answer.status for answer in answers) == [200] + [409] * 5
        assert sorted(verdicts(database, held)) == ["CONFIRMED"] + ["REFUND_DUE"] * 5


def test_one_payment_told_many_times_at_once_is_noted_once(
    instances: list[Service], event: Event, database: Connection
):
    for seat in range(10):
        held = buy_seats(instances[0], event, seat)
        answers = at_once(
            [
                lambda n=n, held=held: tell_payment(instances[n % 2], held, payment_id=held)
                for n in range(6)
            ]
        )
        assert [answer.status for answer in answers] == [200] * 6
        assert verdicts(database, held) == ["CONFIRMED"]


def test_one_payment_for_two_reservations_at_once_pays_one(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(seats=20)])
    for seat in range(0, 20, 2):
        first, second = (buy_seats(instances[0], event, seat + n) for n in range(2))
        answers = at_once(
            [
                lambda n=n, held=held, id_=first: tell_payment(instances[n], held, payment_id=id_)
                for n, held in enumerate((first, second))
            ]
        )
        assert sorted(answer.status for answer in answers) == [200, 409]
        states = {state(database, held) for held in (first, second)}
        assert states == {("pending", "pending"), ("confirmed", "completed")}


def test_payment_against_cancellation(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    event = make_event(tickets=[ticket(total=1_000)])
    user_id = str(uuid4())
    token = token_for(user_id)
    for held in hold_tickets(database, event, 30, 300, user_id):
        paid, failed, cancelled = at_once(
            [
                lambda held=held: tell_payment(instances[0], held),
                lambda held=held: tell_payment(instances[1], held, "failed"),
                lambda held=held: instances[1].post(f"/reservations/{held}/cancel", token=token),
            ]
        )
        assert (paid.status, failed.status) == (200, 200)
        assert cancelled.status in (200, 409)
        assert state(database, held) in [("confirmed", "completed"), ("cancelled", "completed")]
        check_books(database, event)


def test_many_late_payments_for_the_same_things_at_once(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(seats=20)], tickets=[ticket(total=15)])
    for first in range(0, 20, 2):
        seat_ids = event.seat_ids[first : first + 2]
        late = [held for _ in range(8) for held in hold_together(database, event, seat_ids)]
        assert count_paid(instances, late) == 1
        check_books(database, event)
    late = hold_tickets(database, event, 7, 0.05)
    for held in late:
        check_soon(lambda held=held: state(database, held)[0], "expired", seconds=5)
    buy_tickets(instances[0], event, 9)
    assert count_paid(instances, late) == 3
    assert stock(database, event) == 0


def count_paid(instances: list[Service], late: list[str]) -> int:
    """Pay for all at once; how many got what they wanted, where the others are refunded."""
    answers = at_once(
        [lambda n=n, held=held: tell_payment(instances[n % 2], held) for n, held in enumerate(late)]
    )
    assert {answer.status for answer in answers} == {200, 409}
    return sum(answer.status == 200 for answer in answers)


def test_payment_against_expiry_and_a_new_buyer(
    instances: list[Service], make_event: MakeEvent, database: Connection, database_url: str
):
    """Whoever comes first has the seats; the other is told so, and nobody waits for a deadlock."""
    event = make_event(sections=[section(rows=3, seats=10)])
    chance = random.Random(5)
    lucky = 0
    for first in range(0, 30, 2):
        held = buy_seats(instances[0], event, first, first + 1)
        wanted = event.seat_ids[first : first + 2]
        with closing(psycopg2.connect(database_url)) as other:
            other.autocommit = True
            end(other, held)
        moment = time.monotonic() + chance.uniform(0, 0.35)

        def buy(
            service: Service = instances[1], wanted: list[str] = wanted, moment: float = moment
        ) -> int:
            """As soon as the seats are free."""
            order = {"eventId": event.id, "seatIds": wanted}
            token = token_for()
            while True:
                answer = service.post("/seats/reserve", token=token, json=order)
                if answer.status == 201 or time.monotonic() > moment + 0.4:
                    return answer.status
                time.sleep(0.005)

        def tell(held: str = held, moment: float = moment) -> int:
            time.sleep(max(0, moment - time.monotonic()))
            return tell_payment(instances[0], held, payment_id="race-" + held).status

        attempts: list[Callable[[], int]] = [buy, tell]
        bought, told = at_once(attempts)
        assert (bought, told) in [(201, 409), (409, 200)]
        expected = ["CONFIRMED", "TAKEN_AGAIN"] if told == 200 else ["REFUND_DUE"]
        assert verdicts(database, held)[0] in expected
        lucky += told == 200
        check_books(database, event)
    assert 0 < lucky < 15


def test_late_payments_and_releases_do_not_lock_each_other_out(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    """A late payment takes the seats in the order of their ids, and so must a release."""
    event = make_event(sections=[section(rows=10, seats=20)])
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = one(database, deadlocks)
    [late] = hold_together(database, event, event.seat_ids)
    middle = sorted(event.seat_ids)[len(event.seat_ids) // 2]
    live = f"""
        SELECT count(*) FROM reservations WHERE event_id = '{event.id}' AND status = 'pending'
    """
    for _ in range(3):
        hold_seats(database, event, event.seat_ids, 0.1)
        with closing(psycopg2.connect(database.dsn)) as other, ThreadPoolExecutor() as threads:
            one(other, f"SELECT id FROM seats WHERE id = '{middle}' FOR UPDATE")
            telling = threads.submit(tell_payment, instances[0], late, "failed")
            time.sleep(0.6)  # both are on their way, and wait
            other.rollback()
            assert telling.result().status == 200
        check_soon(lambda: one(database, live), 0)
    time.sleep(1)  # the server counts now and then
    assert one(database, deadlocks) == before


def hold_together(database: Connection, event: Event, seat_ids: list[str]) -> list[str]:
    """One hold of all these seats, which is over already; its id."""
    with database.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO reservations (user_id, event_id, reservation_number, total_amount,
                                          status, expires_at)
                VALUES (gen_random_uuid(), %(event_id)s, gen_random_uuid()::text, %(amount)s,
                        'expired', now())
                RETURNING id
            ),
            lines AS (
                INSERT INTO reservation_items
                    (reservation_id, seat_id, quantity, unit_price, subtotal)
                SELECT made.id, s.id, 1, s.price, s.price
                FROM made, seats s WHERE s.id = ANY (%(seat_ids)s::uuid[])
            )
            SELECT id::text FROM made
            """,
            {"event_id": event.id, "seat_ids": seat_ids, "amount": 50_000 * len(seat_ids)},
        )
        return [reservation_id for (reservation_id,) in cursor.fetchall()]
