"""Reserving tickets: what is answered, what is refused, and repeats."""

from datetime import timedelta
from uuid import uuid4

from tests.support.books import check_books
from tests.support.buyers import at_once, token_for
from tests.support.factories import section, ticket
from tests.support.reservations import floor_and_balcony, left, reserve

event = floor_and_balcony


def test_reserves_tickets(service, event, database):
    answer = reserve(service, event, (1, 2), (0, 1))
    assert answer.status == 201
    reservation = answer.json()["reservation"]
    assert set(reservation) == {
        "id", "reservationNumber", "eventTitle", "totalAmount", "status", "paymentStatus",
        "expiresAt", "items",
    }  # fmt: skip
    assert reservation["eventTitle"] == event.title
    assert reservation["totalAmount"] == 70_000
    assert (reservation["status"], reservation["paymentStatus"]) == ("pending", "pending")
    assert reservation["items"] == [
        {
            "ticketTypeId": event.ticket_type_ids[1],
            "ticketTypeName": "Balcony",
            "quantity": 2,
            "unitPrice": 20_000,
            "subtotal": 40_000,
        },
        {
            "ticketTypeId": event.ticket_type_ids[0],
            "ticketTypeName": "Floor",
            "quantity": 1,
            "unitPrice": 30_000,
            "subtotal": 30_000,
        },
    ]
    assert left(database, event) == [99, 3]
    check_books(database, event)


def test_lines_of_the_same_ticket_type_are_merged(service, event, database):
    items = reserve(service, event, (0, 1), (0, 2)).json()["reservation"]["items"]
    assert [item["quantity"] for item in items] == [3]
    assert left(database, event) == [97, 5]


def test_merged_lines_count_against_the_limit(service, event, database):
    answer = reserve(service, event, (0, 6), (0, 6))
    assert (answer.status, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert left(database, event) == [100, 5]


def test_all_lines_or_none(service, event, database):
    answer = reserve(service, event, (0, 1), (1, 6))
    assert (answer.status, answer.json()["code"]) == (409, "TICKETS_SOLD_OUT")
    assert answer.json()["details"] == {"ticketTypes": ["Balcony"]}
    assert left(database, event) == [100, 5]


def test_a_ticket_type_of_another_event_is_unknown(service, event, make_event, database):
    other = make_event(tickets=[ticket()])
    answer = service.post(
        "/reservations",
        token=token_for(),
        json={
            "eventId": event.id,
            "items": [
                {"ticketTypeId": event.ticket_type_ids[0], "quantity": 1},
                {"ticketTypeId": other.ticket_type_ids[0], "quantity": 1},
            ],
        },
    )
    assert (answer.status, answer.json()["code"]) == (404, "TICKET_TYPE_NOT_FOUND")
    assert left(database, event) == [100, 5]


def test_an_unknown_event(service, event):
    answer = service.post(
        "/reservations",
        token=token_for(),
        json={
            "eventId": str(uuid4()),
            "items": [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}],
        },
    )
    assert (answer.status, answer.json()["code"]) == (404, "EVENT_NOT_FOUND")


def test_tickets_are_sold_only_while_the_sale_is_open(service, make_event, database):
    event = make_event(tickets=[ticket()], sale=(timedelta(hours=1), timedelta(hours=2)))
    answer = reserve(service, event, (0, 1))
    assert (answer.status, answer.json()["code"]) == (409, "SALE_NOT_OPEN")
    assert left(database, event) == [100]


def test_seats_and_tickets_count_together_against_the_limit(start_service, make_event, database):
    service = start_service(MAX_LIVE_TICKETS_PER_BUYER="3")
    event = make_event(sections=[section()], tickets=[ticket()])
    token = token_for()
    assert reserve(service, event, (0, 2), token=token).status == 201
    seats = {"eventId": event.id, "seatIds": event.seat_ids[:2]}
    answer = service.post("/seats/reserve", token=token, json=seats)
    assert (answer.status, answer.json()["code"]) == (409, "LIMIT_EXCEEDED")
    check_books(database, event)


def test_an_amount_that_its_column_cannot_hold_is_refused(service, make_event, database):
    event = make_event(tickets=[ticket(price=2_000_000_000)])
    answer = reserve(service, event, (0, 2))
    assert (answer.status, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert left(database, event) == [100]


def test_a_repeat_with_the_same_key_gets_the_first_reservation(service, event, database):
    token = token_for()
    first = reserve(service, event, (0, 1), (1, 1), token=token, key="once")
    again = reserve(service, event, (1, 1), (0, 1), token=token, key="once")
    assert (first.status, again.status) == (201, 201)
    assert first.json()["reservation"]["id"] == again.json()["reservation"]["id"]
    assert left(database, event) == [99, 4]
    conflict = reserve(service, event, (0, 2), token=token, key="once")
    assert (conflict.status, conflict.json()["code"]) == (409, "VALIDATION_ERROR")
    assert left(database, event) == [99, 4]


def test_simultaneous_repeats_make_one_reservation(service, start_service, event, database):
    instances = [service, start_service()]
    token = token_for()
    answers = at_once(
        [
            lambda number=number: reserve(
                instances[number % 2], event, (0, 2), token=token, key="once"
            )
            for number in range(20)
        ]
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert left(database, event) == [98, 5]
    check_books(database, event)
