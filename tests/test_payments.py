"""What the Payment Service tells us: noted once, and never for what is someone else's by now."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.books import check_books
from tests.support.browser import run_client
from tests.support.buyers import at_once, token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import Event, one, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.internal import SERVICE, TOKEN, metric, tell_payment
from tests.support.others import end, pay
from tests.support.service import Response, Service, run_services
from tests.support.visitors import Visitor, run_queue
from tests.support.wire import check_error, check_soon
from tests.test_bad_input import MALFORMED_IDS

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

MakeEvent = Callable[..., Event]

AT_ONCE = 1.0
"""Seconds within which browsers hear of what the service itself wrote."""


database_url = own_database_url
"""A database in which only the instances of these tests end holds."""


database = balanced_database


@pytest.fixture(scope="module")
def instances(database_url: str, folder: Path) -> Iterator[list[Service]]:
    with run_services(folder, 2, DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN) as started:
        yield started


@pytest.fixture
def service(instances: list[Service]) -> Service:
    return instances[0]


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket(total=100)])


def buy_seats(service: Service, event: Event, *seats: int, token: str | None = None) -> str:
    """Hold these seats; the reservation's id."""
    order = {"eventId": event.id, "seatIds": [event.seat_ids[seat] for seat in seats]}
    answer = service.post("/seats/reserve", token=token or token_for(), json=order)
    assert answer.status == 201, answer.body
    reservation_id: str = answer.json()["reservation"]["id"]
    return reservation_id


def buy_tickets(service: Service, event: Event, quantity: int = 2) -> str:
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    order = {"eventId": event.id, "items": items}
    answer = service.post("/reservations", token=token_for(), json=order)
    assert answer.status == 201, answer.body
    reservation_id: str = answer.json()["reservation"]["id"]
    return reservation_id


def state(database: Connection, reservation_id: str) -> tuple[str, str]:
    """The status of the reservation and of its payment."""
    columns = "status || ' ' || payment_status"
    query = f"SELECT {columns} FROM reservations WHERE id = '{reservation_id}'"
    status, payment_status = one(database, query).split()
    return status, payment_status


def seat_status(database: Connection, event: Event, seat: int = 0) -> str:
    return str(one(database, f"SELECT status FROM seats WHERE id = '{event.seat_ids[seat]}'"))


def stock(database: Connection, event: Event) -> int:
    id_ = event.ticket_type_ids[0]
    return int(one(database, f"SELECT available_quantity FROM ticket_types WHERE id = '{id_}'"))


def verdicts(database: Connection, reservation_id: str) -> list[str]:
    """What was remembered of the payments for a reservation, oldest first."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT verdict FROM ticket_service_payments WHERE reservation_id = %s"
            " ORDER BY created_at",
            (reservation_id,),
        )
        return [verdict for (verdict,) in cursor.fetchall()]


def run_out(database: Connection, reservation_id: str) -> None:
    """Let the hold end, and wait until the service has released it."""
    end(database, reservation_id)
    check_soon(lambda: state(database, reservation_id)[0], "expired", seconds=5)


# Who may call


def test_only_the_service_token_opens_the_internal_calls(
    service: Service, event: Event, database: Connection
):
    held = buy_seats(service, event, 0)
    body = {"status": "completed", "paymentMethod": "card", "paymentId": str(uuid4())}
    for method, path in (
        ("POST", f"/api/v1/internal/reservations/{held}/payment"),
        ("GET", "/api/v1/internal/audit"),
    ):

        def ask(
            method: str = method,
            path: str = path,
            token: str | None = None,
            headers: dict[str, str] | None = None,
        ) -> Response:
            json = body if method == "POST" else None
            return service.request(method, path, token=token, headers=headers, json=json)

        for user in (None, token_for(), token_for(role="admin"), TOKEN):
            check_error(ask(token=user), 401, "AUTHENTICATION_REQUIRED")
        for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xff", token_for()):
            check_error(ask(headers={"X-Internal-Token": wrong}), 403, "FORBIDDEN")
            check_error(ask(token=TOKEN, headers={"X-Internal-Token": wrong}), 403, "FORBIDDEN")
    assert state(database, held) == ("pending", "pending")
    assert verdicts(database, held) == []


def test_the_token_is_wanted_before_the_body_is_looked_at(service: Service):
    path = f"/internal/reservations/{UUID}/payment"
    check_error(service.post(path, body="{broken"), 401, "AUTHENTICATION_REQUIRED")
    wrong = {"X-Internal-Token": "x"}
    check_error(service.post(path, body="{broken", headers=wrong), 403, "FORBIDDEN")


def test_where_no_token_is_set_nobody_comes_in(
    start_service: Callable[..., Service], database_url: str
):
    closed = start_service(DATABASE_URL=database_url)
    for given in ("", " ", TOKEN, "None"):
        headers = {"X-Internal-Token": given}
        check_error(closed.get("/internal/audit", headers=headers), 403, "FORBIDDEN")
    check_error(closed.get("/internal/audit"), 401, "AUTHENTICATION_REQUIRED")
    closed.kill()


# What may be said


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"status": "paid"}, "status"),
        ({"status": None}, "status"),
        ({"status": ["completed"]}, "status"),
        ({"paymentId": ""}, "paymentId"),
        ({"paymentId": None}, "paymentId"),
        ({"paymentId": 5}, "paymentId"),
        ({"paymentId": "x" * 256}, "paymentId"),
        ({"paymentId": "a\0b"}, "paymentId"),
        ({"paymentId": "\ud800"}, None),
        ({"paymentMethod": "x" * 51}, "paymentMethod"),
        ({"paymentMethod": {}}, "paymentMethod"),
        ({"amount": 1}, "amount"),
    ],
    ids=repr,
)
def test_a_bad_notice_is_refused(
    service: Service, event: Event, database: Connection, wrong: dict[str, Any], field: str | None
):
    held = buy_seats(service, event, 0)
    body = {"status": "completed", "paymentMethod": "card", "paymentId": str(uuid4()), **wrong}
    path = f"/internal/reservations/{held}/payment"
    if field is None:
        text = '{"status": "completed", "paymentId": "\\ud800"}'
        answer = service.post(
            path, headers={**SERVICE, "Content-Type": "application/json"}, body=text
        )
        check_error(answer, 400, "VALIDATION_ERROR")
    else:
        answer = service.post(path, headers=SERVICE, json=body)
        assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {field}
    assert state(database, held) == ("pending", "pending")
    assert verdicts(database, held) == []


@pytest.mark.parametrize("name", ["status", "paymentId"])
def test_what_is_needed_of_a_notice(service: Service, name: str):
    body = {"status": "completed", "paymentId": str(uuid4())}
    del body[name]
    path = f"/internal/reservations/{UUID}/payment"
    answer = service.post(path, headers=SERVICE, json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


def test_a_payment_for_nothing_is_not_found(service: Service, database: Connection):
    for status in ("completed", "failed"):
        unknown = tell_payment(service, UUID, status)
        check_error(unknown, 404, "RESERVATION_NOT_FOUND")
    for wrong in MALFORMED_IDS:
        check_error(tell_payment(service, quote(wrong)), 400, "VALIDATION_ERROR")
    assert verdicts(database, UUID) == []


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
    buyer.leave()
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


# Too late


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


def check_refund(answer: Response, reservation_id: str, payment_id: str, amount: int) -> None:
    error = check_error(answer, 409, "RESERVATION_EXPIRED")
    assert error["details"] == {
        "refund": {"reservationId": reservation_id, "paymentId": payment_id, "amount": amount}
    }


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
    instances: list[Service], event: Event, database: Connection
):
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


# At the same moment


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
