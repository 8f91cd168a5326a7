"""Payments that come too late: the same again if all is free, and never what is someone else's."""

from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.internal import metric, tell_payment
from tests.support.others import pay
from tests.support.payments import (
    AT_ONCE,
    buy_seats,
    buy_tickets,
    check_refund,
    run_out,
    seat_status,
    state,
    stock,
    verdicts,
)
from tests.support.service import Service
from tests.support.wire import check_soon
from ticket_service.stores import keys


def test_a_late_payment_gets_the_same_again_if_all_is_free(
    instances: list[Service], event: Event, database: Connection
):
    seats, tickets = buy_seats(instances[0], event, 0, 1), buy_tickets(instances[0], event)
    for held in (seats, tickets):
        run_out(database, held)
    assert (seat_status(database, event), stock(database, event)) == ("available", 100)
    with run_client(instances[1].url) as browser:
        browser.join("join-seat-selection", event)
        browser.join("join-event", event)
        for held in (seats, tickets):
            answers = [tell_payment(instances[0], held, payment_id="late-" + held)] * 2
            for answer in answers:
                assert (answer.status, answer.json()["reservation"]["status"]) == (200, "confirmed")
            assert state(database, held) == ("confirmed", "completed")
            assert verdicts(database, held) == ["TAKEN_AGAIN"]
        check_soon(
            lambda: sorted(
                heard["seatId"]
                for heard in browser.payloads("seat-locked")
                if heard["status"] == "reserved"
            ),
            sorted(event.seat_ids[:2]),
            seconds=AT_ONCE,
        )
        check_soon(
            lambda: [heard["availableQuantity"] for heard in browser.payloads("ticket-updated")],
            [98],
            seconds=AT_ONCE,
        )
    assert [seat_status(database, event, seat) for seat in range(3)] == [
        "reserved",
        "reserved",
        "available",
    ]
    assert stock(database, event) == 98


def test_a_payment_after_a_cancellation_is_a_late_one(
    service: Service, event: Event, database: Connection
):
    token = token_for()
    held = buy_seats(service, event, 0, token=token)
    assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
    assert tell_payment(service, held).status == 200
    assert state(database, held) == ("confirmed", "completed")


def test_what_is_told_of_a_hold_that_ran_out_unpaid(
    service: Service, event: Event, database: Connection
):
    """The tables keep what clients do not know."""
    held = buy_seats(service, event, 0)
    run_out(database, held)
    for status in ("failed", "refunded"):
        answer = tell_payment(service, held, status)
        told = {"id": held, "status": "cancelled", "paymentStatus": "failed"}
        assert (answer.status, answer.json()["reservation"]) == (200, told)
    assert state(database, held) == ("expired", "pending")


def test_a_late_payment_for_what_is_gone_is_to_be_refunded(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(seats=3)], tickets=[ticket(total=4)])
    seats, tickets = buy_seats(service, event, 0, 1), buy_tickets(service, event, 3)
    for held in (seats, tickets):
        run_out(database, held)
    buy_seats(service, event, 1)
    buy_tickets(service, event, 2)
    before = metric(service, "ticket_refunds_due_total")
    for held, amount in ((seats, 100_000), (tickets, 90_000)):
        for _ in range(2):
            check_refund(
                tell_payment(service, held, payment_id="r-" + held), held, "r-" + held, amount
            )
        assert state(database, held) == ("expired", "pending")
        assert verdicts(database, held) == ["REFUND_DUE"]
        row = f"""
            SELECT payment_id || ' ' || status || ' ' || payment_method || ' ' || amount
            FROM ticket_service_payments WHERE reservation_id = '{held}'
        """
        assert one(database, row) == f"r-{held} completed card {amount}"
    assert metric(service, "ticket_refunds_due_total") == before + 2
    assert (seat_status(database, event), seat_status(database, event, 1)) == (
        "available",
        "locked",
    )
    assert stock(database, event) == 2


def test_whoever_pays_twice_gets_the_second_payment_back(
    service: Service, event: Event, database: Connection
):
    held, elsewhere = buy_seats(service, event, 0, 1), buy_tickets(service, event)
    assert tell_payment(service, held, payment_id="one-" + held).status == 200
    # Written by the Payment Service itself, and told afterwards: that is one payment.
    assert pay(database, elsewhere)
    assert tell_payment(service, elsewhere, payment_id="one-" + elsewhere).status == 200
    for reservation_id, amount in ((held, 100_000), (elsewhere, 60_000)):
        second = tell_payment(service, reservation_id, payment_id="two-" + reservation_id)
        check_refund(second, reservation_id, "two-" + reservation_id, amount)
        assert state(database, reservation_id) == ("confirmed", "completed")
    assert tell_payment(service, held, payment_id="one-" + held).status == 200


def test_what_the_buyer_gave_back_is_not_sold_to_him_again(
    service: Service, event: Event, database: Connection
):
    """Paid and cancelled; then a payment is told, late or once more."""
    token = token_for()
    body = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    held = service.post("/seats/reserve", token=token, json=body).json()["reservation"]["id"]
    assert tell_payment(service, held, payment_id="one-" + held).status == 200
    assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
    again = tell_payment(service, held, payment_id="one-" + held)
    assert again.json()["reservation"]["status"] == "cancelled"
    late = tell_payment(service, held, payment_id="two-" + held)
    check_refund(late, held, "two-" + held, 50_000)
    assert state(database, held) == ("cancelled", "completed")
    assert seat_status(database, event) == "available"


def test_a_payment_that_the_payment_service_wrote_itself_is_told(
    instances: list[Service], event: Event, database: Connection, redis: Redis
):
    redis.delete(keys.seat_reading(event.id))  # so that the seats are read again
    held = buy_seats(instances[0], event, 0)
    with run_client(instances[1].url) as browser:
        browser.join("join-seat-selection", event)
        assert pay(database, held)
        check_soon(
            lambda: [
                (heard["seatId"], heard["status"]) for heard in browser.payloads("seat-locked")
            ],
            [(event.seat_ids[0], "reserved")],
            seconds=3,
        )
    for instance in instances:
        check_soon(
            lambda one=instance: one.get(f"/seats/events/{event.id}").json()["seats"][0]["status"],
            "reserved",
            seconds=2,
        )
