"""Looking at reservations and cancelling them."""

import re
from contextlib import closing

import psycopg2

from tests.support.books import check_books
from tests.support.buyers import token_for
from tests.support.factories import one, section, ticket
from tests.support.others import end, pay
from tests.support.reservations import cancel, floor_and_balcony, left, reserve
from tests.support.wire import check_soon

event = floor_and_balcony

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


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
    [mine] = service.get("/reservations/my", token=token).json()["reservations"]
    for name in ("seatLabel", "ticketTypeName"):
        for lines in (items, mine["items"]):
            assert [item[name] for item in lines] == ["VIP-1-1", "VIP-1-2"]


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


def test_an_ended_hold_is_shown_as_cancelled_and_cannot_be_cancelled(service, event, database):
    token = token_for()
    made = reserve(service, event, (0, 1), token=token).json()["reservation"]["id"]
    end(database, made)
    reservation = service.get(f"/reservations/{made}", token=token).json()["reservation"]
    assert (reservation["status"], reservation["isExpired"]) == ("cancelled", True)
    assert told(service, made, token) == {("cancelled", "failed")}
    answer = cancel(service, made, token)
    assert (answer.status, answer.json()["code"]) == (409, "RESERVATION_EXPIRED")
    check_soon(lambda: left(database, event), [100, 5])  # by the expiry
    assert told(service, made, token) == {("cancelled", "failed")}
    assert cancel(service, made, token).status == 409
    assert left(database, event) == [100, 5]  # once


def told(service, made, token):
    """Status and payment status of the only reservation, in every answer that has them."""
    [mine] = service.get("/reservations/my", token=token).json()["reservations"]
    shown = [
        service.get(f"{path}/{made}", token=token).json()["reservation"]
        for path in ("/reservations", "/seats/reservation")
    ]
    return {(seen["status"], seen["payment_status"]) for seen in (mine, *shown)}


def test_the_payment_of_a_hold_that_was_cancelled_is_shown_as_failed(service, event, database):
    """Also in the answer to a repeat; the tables keep what they have."""
    token, key = token_for(), "once"
    made = reserve(service, event, (0, 1), token=token, key=key).json()["reservation"]["id"]
    assert cancel(service, made, token).status == 200
    assert told(service, made, token) == {("cancelled", "failed")}
    repeat = reserve(service, event, (0, 1), token=token, key=key).json()["reservation"]
    assert (repeat["status"], repeat["paymentStatus"]) == ("cancelled", "failed")
    query = f"SELECT payment_status FROM reservations WHERE id = '{made}'"
    assert one(database, query) == "pending"


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
