"""Reserving tickets, looking at reservations, cancelling them."""

import re
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import psycopg2
import pytest

from tests.support.books import check_books
from tests.support.buyers import at_once, token_for
from tests.support.factories import section, ticket
from tests.support.others import end, pay

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def reserve(service, event, *lines, token=None, key=None):
    """Reserve `lines`, pairs of the ticket type's position in the event and a quantity."""
    items = [{"ticketTypeId": event.ticket_type_ids[i], "quantity": n} for i, n in lines]
    return service.post(
        "/reservations",
        token=token or token_for(),
        json={"eventId": event.id, "items": items},
        headers={"Idempotency-Key": key} if key else {},
    )


def cancel(service, reservation_id, token):
    return service.post(f"/reservations/{reservation_id}/cancel", token=token)


def left(database, event):
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, available_quantity FROM ticket_types WHERE event_id = %s",
            (event.id,),
        )
        stock = dict(cursor.fetchall())
    return [stock[ticket_type_id] for ticket_type_id in event.ticket_type_ids]


@pytest.fixture
def event(make_event):
    return make_event(
        tickets=[ticket("Floor", price=30_000, total=100), ticket("Balcony", 20_000, total=5)]
    )


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


def test_looking_at_a_ticket_reservation(service, event):
    token = token_for()
    made = reserve(service, event, (0, 2), token=token).json()["reservation"]
    reservation = service.get(f"/reservations/{made['id']}", token=token).json()["reservation"]
    assert set(reservation) == {
        "id", "reservation_number", "total_amount", "status", "payment_status", "payment_method",
        "expires_at", "created_at", "event_id", "event_title", "venue", "address", "event_date",
        "items", "isExpired",
    }  # fmt: skip
    assert reservation["reservation_number"] == made["reservationNumber"]
    assert reservation["expires_at"] == made["expiresAt"]
    assert all(TIME.fullmatch(reservation[name]) for name in ("created_at", "event_date"))
    assert reservation["isExpired"] is False
    assert reservation["items"] == [
        {
            "ticketTypeName": "Floor",
            "quantity": 2,
            "unitPrice": 30_000,
            "subtotal": 60_000,
            "seatId": None,
            "seatLabel": None,
            "section": None,
            "rowNumber": None,
            "seatNumber": None,
        }
    ]


def test_looking_at_a_seat_reservation(service, make_event):
    event = make_event(sections=[section(seats=3)])
    token = token_for()
    made = service.post(
        "/seats/reserve", token=token, json={"eventId": event.id, "seatIds": event.seat_ids[:2]}
    ).json()["reservation"]
    answer = service.get(f"/seats/reservation/{made['id']}", token=token)
    reservation = answer.json()["reservation"]
    assert set(reservation) == {
        "id", "reservation_number", "total_amount", "status", "payment_status", "payment_method",
        "expires_at", "created_at", "event_id", "event_title", "venue", "event_date", "seats",
        "isExpired",
    }  # fmt: skip
    assert reservation["seats"][0] == {
        "seatId": event.seat_ids[0],
        "seatLabel": "VIP-1-1",
        "section": "VIP",
        "rowNumber": 1,
        "seatNumber": 1,
        "price": 50_000,
        "ticketTypeName": None,
        "quantity": 1,
    }
    items = service.get(f"/reservations/{made['id']}", token=token).json()["reservation"]["items"]
    assert [item["seatLabel"] for item in items] == ["VIP-1-1", "VIP-1-2"]


def test_my_reservations_newest_first_and_only_mine(service, event):
    token = token_for()
    made = [
        reserve(service, event, (0, 1), token=token).json()["reservation"]["id"] for _ in range(3)
    ]
    reserve(service, event, (0, 1))
    mine = service.get("/reservations/my", token=token).json()["reservations"]
    assert [reservation["id"] for reservation in mine] == made[::-1]
    assert set(mine[0]) == {
        "id", "reservation_number", "total_amount", "status", "payment_status", "created_at",
        "expires_at", "event_title", "venue", "event_date", "items",
    }  # fmt: skip
    assert mine[0]["items"] == [
        {
            "ticketTypeName": "Floor",
            "quantity": 1,
            "unitPrice": 30_000,
            "subtotal": 30_000,
            "seatLabel": None,
        }
    ]
    page = service.get("/reservations/my?page=2&limit=2", token=token).json()["reservations"]
    assert [reservation["id"] for reservation in page] == made[:1]


def test_nobody_sees_or_cancels_anothers_reservation(service, event, database):
    made = reserve(service, event, (0, 1)).json()["reservation"]["id"]
    stranger = token_for(role="admin")
    answers = [
        service.get(f"/reservations/{made}", token=stranger),
        service.get(f"/seats/reservation/{made}", token=stranger),
        cancel(service, made, stranger),
    ]
    for answer in answers:
        assert (answer.status, answer.json()["code"]) == (404, "RESERVATION_NOT_FOUND")
    assert left(database, event) == [99, 5]
    assert service.get("/reservations/my", token=stranger).json() == {"reservations": []}


def test_cancelling_gives_everything_back_once(service, make_event, database):
    event = make_event(sections=[section()], tickets=[ticket(total=10)])
    token = token_for()
    tickets = reserve(service, event, (0, 4), token=token).json()["reservation"]["id"]
    seats = service.post(
        "/seats/reserve", token=token, json={"eventId": event.id, "seatIds": event.seat_ids[:2]}
    ).json()["reservation"]["id"]
    for made in (tickets, seats):
        answer = cancel(service, made, token)
        assert answer.status == 200
        assert answer.json()["reservation"] == {"id": made, "status": "cancelled"}
        again = cancel(service, made, token)
        assert (again.status, again.json()["code"]) == (409, "ALREADY_CANCELLED")
    assert left(database, event) == [10]
    check_books(database, event)


def test_a_cancelled_hold_cannot_be_paid_any_more(service, event, database):
    token = token_for()
    made = reserve(service, event, (0, 1), token=token).json()["reservation"]["id"]
    cancel(service, made, token)
    assert not pay(database, made)
    check_books(database, event)


def test_a_payment_that_began_before_the_cancellation_is_refused(service, event, database, servers):
    """Its clock stands still: now() is when its transaction began."""
    token = token_for()
    made = reserve(service, event, (0, 1), token=token).json()["reservation"]["id"]
    with closing(psycopg2.connect(servers.database_url)) as payment, payment.cursor() as cursor:
        cursor.execute("SELECT now()")
        assert cancel(service, made, token).status == 200
        cursor.execute(
            "SELECT FROM reservations WHERE id = %s AND expires_at > now() AT TIME ZONE 'UTC'",
            (made,),
        )
        assert cursor.rowcount == 0


def test_cancelling_a_paid_reservation_leaves_the_refund_to_the_payment_service(
    service, make_event, database
):
    event = make_event(sections=[section()])
    token = token_for()
    made = service.post(
        "/seats/reserve", token=token, json={"eventId": event.id, "seatIds": event.seat_ids[:1]}
    ).json()["reservation"]["id"]
    assert pay(database, made)
    check_books(database, event)
    assert cancel(service, made, token).status == 200
    reservation = service.get(f"/reservations/{made}", token=token).json()["reservation"]
    assert (reservation["status"], reservation["payment_status"]) == ("cancelled", "completed")
    check_books(database, event)


def test_an_ended_hold_is_shown_as_expired_and_cannot_be_cancelled(service, event, database):
    token = token_for()
    made = reserve(service, event, (0, 1), token=token).json()["reservation"]["id"]
    end(database, made)
    reservation = service.get(f"/reservations/{made}", token=token).json()["reservation"]
    assert (reservation["status"], reservation["isExpired"]) == ("expired", True)
    [summary] = service.get("/reservations/my", token=token).json()["reservations"]
    assert summary["status"] == "expired"
    answer = cancel(service, made, token)
    assert (answer.status, answer.json()["code"]) == (409, "RESERVATION_EXPIRED")
    assert left(database, event) == [99, 5]


def test_an_ended_hold_does_not_count_against_the_limit(start_service, event, database):
    service = start_service(MAX_LIVE_TICKETS_PER_BUYER="2", HOLD_TTL_SECONDS="1")
    token = token_for()
    made = reserve(service, event, (0, 2), token=token).json()["reservation"]["id"]
    assert reserve(service, event, (0, 1), token=token).status == 409
    end(database, made)
    assert reserve(service, event, (0, 1), token=token).status == 201


def test_a_reservation_outlives_its_event(service, make_event, database):
    event = make_event(sections=[section()])
    token = token_for()
    made = service.post(
        "/seats/reserve", token=token, json={"eventId": event.id, "seatIds": event.seat_ids[:1]}
    ).json()["reservation"]["id"]
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM events WHERE id = %s", (event.id,))
    reservation = service.get(f"/reservations/{made}", token=token).json()["reservation"]
    assert (reservation["event_id"], reservation["event_title"]) == (None, None)
    assert cancel(service, made, token).status == 200
