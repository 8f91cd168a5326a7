"""What a payment, or its failure, does to the hold and to the stay in the waiting room."""

from collections.abc import Callable
from uuid import uuid4

from psycopg2.extensions import connection as Connection

from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.factories import Event, one
from tests.support.holds import hold_seats
from tests.support.internal import TOKEN, tell_payment
from tests.support.others import pay
from tests.support.payments import (
    AT_ONCE,
    buy_seats,
    buy_tickets,
    run_out,
    seat_status,
    state,
    stock,
    verdicts,
)
from tests.support.service import Service
from tests.support.visitors import Visitor, clear_queue, run_queue
from tests.support.wire import check_error, check_soon

# What it does


def test_a_completed_payment_confirms_the_hold_and_everyone_hears(
    instances: list[Service], event: Event, database: Connection
):
    token = token_for()
    held = buy_seats(instances[0], event, 0, 1, token=token)
    with run_client(instances[1].url) as browser:
        browser.join("join-seat-selection", event)
        for instance in instances:
            assert first_seats(instance, event) == ["locked", "locked", "available"]
        answer = tell_payment(instances[0], held, payment_id="p-" + held)
        assert answer.status == 200
        for instance in instances:  # which kept the answer of just now
            assert first_seats(instance, event) == ["reserved", "reserved", "available"]
        check_soon(lambda: len(browser.payloads("seat-locked")), 2, seconds=AT_ONCE)
        told = {(heard["seatId"], heard["status"]) for heard in browser.payloads("seat-locked")}
    assert told == {(seat_id, "reserved") for seat_id in event.seat_ids[:2]}
    body = answer.json()
    assert body["reservation"] == {"id": held, "status": "confirmed", "paymentStatus": "completed"}
    assert state(database, held) == ("confirmed", "completed")
    for instance in instances:
        shown = instance.get(f"/reservations/{held}", token=token).json()["reservation"]
        assert (shown["status"], shown["payment_status"]) == ("confirmed", "completed")
        assert (shown["payment_method"], shown["isExpired"]) == ("card", False)


def first_seats(service: Service, event: Event) -> list[str]:
    seats = service.get(f"/seats/events/{event.id}").json()["seats"]
    return [seat["status"] for seat in seats][:3]


def free_tickets(service: Service, event: Event) -> int:
    [shown] = service.get(f"/tickets/event/{event.id}").json()["ticketTypes"]
    left: int = shown["available_quantity"]
    return left


def test_the_payment_method_may_be_left_out(service: Service, event: Event, database: Connection):
    held = buy_tickets(service, event)
    assert tell_payment(service, held, paymentMethod=None).status == 200
    assert state(database, held) == ("confirmed", "completed")
    assert stock(database, event) == 98


def test_a_payment_that_is_told_again_changes_nothing(
    instances: list[Service], event: Event, database: Connection
):
    held = buy_seats(instances[0], event, 0)
    answers = [tell_payment(instances[n % 2], held, payment_id="twice-" + held) for n in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.body for answer in answers}) == 1
    assert verdicts(database, held) == ["CONFIRMED"]
    before = f"SELECT updated_at FROM reservations WHERE id = '{held}'"
    seen = one(database, before)
    assert tell_payment(instances[0], held, payment_id="twice-" + held).status == 200
    assert one(database, before) == seen


def test_a_payment_is_for_one_reservation(service: Service, event: Event, database: Connection):
    first, second = buy_seats(service, event, 0), buy_seats(service, event, 1)
    assert tell_payment(service, first, payment_id="for-" + first).status == 200
    for status in ("completed", "failed"):
        reused = tell_payment(service, second, status, payment_id="for-" + first)
        check_error(reused, 409, "VALIDATION_ERROR")
    assert state(database, second) == ("pending", "pending")
    assert verdicts(database, second) == []


def test_a_failed_payment_frees_the_hold_at_once(
    instances: list[Service], event: Event, database: Connection
):
    seats, tickets = buy_seats(instances[0], event, 0), buy_tickets(instances[0], event)
    with run_client(instances[1].url) as browser:
        browser.join("join-seat-selection", event)
        browser.join("join-event", event)
        for instance in instances:
            assert first_seats(instance, event) == ["locked", "available", "available"]
            assert free_tickets(instance, event) == 98
        for held in (seats, tickets):
            answer = tell_payment(instances[0], held, "failed")
            assert answer.status == 200
            reservation = answer.json()["reservation"]
            assert reservation == {"id": held, "status": "cancelled", "paymentStatus": "failed"}
            assert state(database, held) == ("cancelled", "failed")
        for instance in instances:  # which kept the answers of just now
            assert first_seats(instance, event) == ["available"] * 3
            assert free_tickets(instance, event) == 100
        check_soon(
            lambda: [heard["seatId"] for heard in browser.payloads("seat-released")],
            event.seat_ids[:1],
            seconds=AT_ONCE,
        )
        check_soon(
            lambda: [heard["availableQuantity"] for heard in browser.payloads("ticket-updated")],
            [100],
            seconds=AT_ONCE,
        )
    assert (seat_status(database, event), stock(database, event)) == ("available", 100)
    assert buy_seats(instances[1], event, 0)


def test_a_hold_that_was_freed_cannot_be_paid_in_the_tables(
    service: Service, event: Event, database: Connection
):
    held = buy_seats(service, event, 0)
    assert tell_payment(service, held, "failed").status == 200
    assert pay(database, held) is False


def test_a_failure_told_after_the_payment_frees_nothing(
    service: Service, event: Event, database: Connection
):
    held = buy_seats(service, event, 0)
    assert tell_payment(service, held).status == 200
    late = tell_payment(service, held, "failed")
    assert late.status == 200
    assert late.json()["reservation"] == {
        "id": held,
        "status": "confirmed",
        "paymentStatus": "completed",
    }
    assert state(database, held) == ("confirmed", "completed")
    assert seat_status(database, event) == "reserved"


# The stay in the waiting room


def test_a_payment_ends_the_stay_and_lets_the_next_in(service: Service, event: Event):
    """A stay that began after it is another one, which a repeat does not end."""
    run_queue(service, event.id, threshold=1)
    buyer, waiting = Visitor(service, event.id), Visitor(service, event.id)
    held, payment = buy_seats(service, event, 0, token=buyer.token), str(uuid4())
    assert waiting.check()["position"] == 1
    assert tell_payment(service, held, payment_id=payment).status == 200
    assert buyer.stands() == ("not_in_queue", 0)
    check_soon(waiting.stands, ("active", 0))
    waiting.leave()
    assert buyer.check()["status"] == "active"
    assert tell_payment(service, held, payment_id=payment).status == 200
    assert buyer.stands() == ("active", 0)


def test_a_late_payment_and_one_in_the_tables_end_the_stay_too(
    service: Service, event: Event, database: Connection
):
    late, adopted = Visitor(service, event.id), Visitor(service, event.id)
    expired = buy_seats(service, event, 0, token=late.token)
    run_out(database, expired)
    check_soon(late.stands, ("not_in_queue", 0))
    written = buy_seats(service, event, 1, token=adopted.token)
    assert pay(database, written)
    for visitor, held in ((late, expired), (adopted, written)):
        assert visitor.check()["status"] == "active"
        assert tell_payment(service, held).status == 200
        assert visitor.stands() == ("not_in_queue", 0)


def test_a_payment_takes_no_place_in_line_and_a_failed_one_ends_no_stay(
    service: Service, event: Event
):
    buyer = Visitor(service, event.id)
    paid, failed = (buy_seats(service, event, seat, token=buyer.token) for seat in (0, 1))
    assert tell_payment(service, failed, "failed").status == 200
    assert buyer.stands() == ("active", 0)
    clear_queue(service, event.id)
    run_queue(service, event.id, paused=True)
    assert buyer.check()["position"] == 1
    assert tell_payment(service, paid).status == 200
    assert buyer.stands() == ("queued", 1)


def test_a_payment_is_noted_while_redis_is_away(
    start_service: Callable[..., Service], event: Event, database: Connection, database_url: str
):
    lonely = start_service(
        DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN, REDIS_URL="redis://127.0.0.1:1"
    )
    [held] = hold_seats(database, event, event.seat_ids[:1], 60)
    assert tell_payment(lonely, held).status == 200
    assert state(database, held) == ("confirmed", "completed")
    assert "stays not ended" in {line["message"] for line in lonely.log_lines()}
    lonely.kill()
