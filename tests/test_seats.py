"""Holding seats."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.support.books import check_books
from tests.support.buyers import at_once, token_for
from tests.support.factories import section, ticket
from tests.support.others import end


def hold(service, event, seat_ids, token=None, key=None):
    return service.post(
        "/seats/reserve",
        token=token or token_for(),
        json={"eventId": event.id, "seatIds": seat_ids},
        headers={"Idempotency-Key": key} if key else {},
    )


def lose(redis):
    """Redis forgets all that the service put there, as after a flush or a restart."""
    redis.script_flush()
    for key in redis.scan_iter("ticket:*"):
        redis.delete(key)


def statuses(database, seat_ids):
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT status FROM seats WHERE id = ANY (%s::uuid[]) ORDER BY id", (sorted(seat_ids),)
        )
        return [status for (status,) in cursor.fetchall()]


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(rows=2, seats=10, price=50_000)])


def test_holds_all_the_seats_for_five_minutes(service, event, database):
    answer = hold(service, event, event.seat_ids[:2])
    assert answer.status == 201
    body = answer.json()
    assert set(body) == {"message", "reservation"}
    reservation = body["reservation"]
    assert set(reservation) == {"id", "reservationNumber", "totalAmount", "expiresAt", "seats"}
    assert reservation["totalAmount"] == 100_000
    assert [seat["seat_label"] for seat in reservation["seats"]] == ["VIP-1-1", "VIP-1-2"]
    assert {seat["status"] for seat in reservation["seats"]} == {"locked"}
    left = datetime.fromisoformat(reservation["expiresAt"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < left < timedelta(seconds=301)
    assert statuses(database, event.seat_ids[:3]).count("locked") == 2
    check_books(database, event)


def test_the_end_of_a_hold_is_a_setting(start_service, event):
    service = start_service(HOLD_TTL_SECONDS="60")
    reservation = hold(service, event, event.seat_ids[:1]).json()["reservation"]
    left = datetime.fromisoformat(reservation["expiresAt"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left < timedelta(seconds=61)


def test_reservation_numbers_differ_and_cannot_be_counted(service, event):
    numbers = [
        hold(service, event, [seat]).json()["reservation"]["reservationNumber"]
        for seat in event.seat_ids[:5]
    ]
    assert len({number[-12:] for number in numbers}) == 5
    assert len({number[-12:-8] for number in numbers}) > 1


def test_a_taken_seat_is_named_and_none_of_the_others_is_held(service, event, database):
    taken, free = event.seat_ids[0], event.seat_ids[1]
    assert hold(service, event, [taken]).status == 201
    answer = hold(service, event, [free, taken])
    assert answer.status == 409
    assert answer.json()["code"] == "SEAT_ALREADY_RESERVED"
    assert answer.json()["details"] == {"seats": ["VIP-1-1"]}
    assert "VIP-1-1" in answer.json()["error"]
    assert statuses(database, [free]) == ["available"]
    check_books(database, event)


def test_a_seat_of_another_event_is_unknown(service, event, make_event, database):
    other = make_event(sections=[section()])
    answer = hold(service, event, [event.seat_ids[0], other.seat_ids[0]])
    assert (answer.status, answer.json()["code"]) == (404, "SEAT_NOT_FOUND")
    assert statuses(database, [event.seat_ids[0]]) == ["available"]


def test_an_unknown_event(service, event):
    answer = service.post(
        "/seats/reserve",
        token=token_for(),
        json={"eventId": str(uuid4()), "seatIds": event.seat_ids[:1]},
    )
    assert (answer.status, answer.json()["code"]) == (404, "EVENT_NOT_FOUND")


@pytest.mark.parametrize(
    ("start", "end", "status", "expected"),
    [
        (-1, 1, "on_sale", 201),
        (-1, 1, "upcoming", 201),  # the times decide; the status may lag behind
        (-1, 1, "cancelled", 409),
        (-1, 1, "ended", 409),
        (1, 2, "on_sale", 409),
        (-2, -1, "on_sale", 409),
    ],
)
def test_seats_are_sold_while_the_sale_is_open(
    service, make_event, database, start, end, status, expected
):
    event = make_event(
        sections=[section()],
        sale=(timedelta(hours=start), timedelta(hours=end)),
        status=status,
    )
    answer = hold(service, event, event.seat_ids[:1])
    assert answer.status == expected
    if expected == 409:
        assert answer.json()["code"] == "SALE_NOT_OPEN"
        assert statuses(database, event.seat_ids[:1]) == ["available"]


def test_at_most_four_seats_at_once_or_as_set(service, start_service, event):
    assert hold(service, event, event.seat_ids[:4]).status == 201
    answer = hold(service, event, event.seat_ids[4:9])
    assert (answer.status, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    wide = start_service(MAX_SEATS_PER_RESERVATION="5")
    assert hold(wide, event, event.seat_ids[4:9]).status == 201


def test_a_buyer_may_have_so_many_live_tickets_of_an_event(
    start_service, event, make_event, database
):
    service = start_service(MAX_LIVE_TICKETS_PER_BUYER="3")
    token = token_for()
    first = hold(service, event, event.seat_ids[:2], token).json()["reservation"]["id"]
    answer = hold(service, event, event.seat_ids[2:4], token)
    assert (answer.status, answer.json()["code"]) == (409, "LIMIT_EXCEEDED")
    assert answer.json()["details"] == {"limit": 3}
    assert "3" in answer.json()["error"]
    other = make_event(sections=[section()])
    assert hold(service, other, other.seat_ids[:2], token).status == 201
    assert service.post(f"/reservations/{first}/cancel", token=token).status == 200
    assert hold(service, event, event.seat_ids[2:4], token).status == 201
    check_books(database, event)


def test_the_limit_holds_for_one_buyer_with_many_hands(start_service, event, database):
    service = start_service(MAX_LIVE_TICKETS_PER_BUYER="2")
    token = token_for()
    answers = at_once(
        [lambda seat=seat: hold(service, event, [seat], token) for seat in event.seat_ids[:10]]
    )
    assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 8
    check_books(database, event)


def test_an_amount_that_its_column_cannot_hold_is_refused(service, make_event, database):
    event = make_event(sections=[section(price=2_000_000_000)])
    answer = hold(service, event, event.seat_ids[:2])
    assert (answer.status, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert statuses(database, event.seat_ids[:2]) == ["available", "available"]
    assert hold(service, event, event.seat_ids[:1]).status == 201


def test_a_repeat_with_the_same_key_gets_the_first_reservation(service, event, database):
    token = token_for()
    first = hold(service, event, event.seat_ids[:2], token, "once")
    again = hold(service, event, event.seat_ids[1::-1], token, "once")
    assert (first.status, again.status) == (201, 201)
    assert first.json() == again.json()
    check_books(database, event)


@pytest.mark.parametrize("other", ["seats", "tickets"])
def test_the_same_key_for_something_else_is_a_conflict(service, make_event, database, other):
    event = make_event(
        sections=[section()],
        tickets=[ticket()],
    )
    token = token_for()
    assert hold(service, event, event.seat_ids[:1], token, "once").status == 201
    if other == "seats":
        answer = hold(service, event, event.seat_ids[1:2], token, "once")
    else:
        answer = service.post(
            "/reservations",
            token=token,
            json={
                "eventId": event.id,
                "items": [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}],
            },
            headers={"Idempotency-Key": "once"},
        )
    assert (answer.status, answer.json()["code"]) == (409, "VALIDATION_ERROR")
    assert statuses(database, event.seat_ids[1:2]) == ["available"]
    check_books(database, event)


def test_two_buyers_may_use_the_same_key(service, event):
    answers = [hold(service, event, [seat], key="once") for seat in event.seat_ids[:2]]
    ids = {answer.json()["reservation"]["id"] for answer in answers}
    assert len(ids) == 2


def test_simultaneous_repeats_make_one_reservation(service, start_service, event, database):
    instances = [service, start_service()]
    token = token_for()
    answers = at_once(
        [
            lambda number=number: hold(
                instances[number % 2], event, event.seat_ids[:2], token, "once"
            )
            for number in range(20)
        ]
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    check_books(database, event)


def test_a_repeat_finds_its_reservation_after_redis_was_flushed(service, event, redis, database):
    token = token_for()
    first = hold(service, event, event.seat_ids[:1], token, "once")
    lose(redis)
    assert hold(service, event, event.seat_ids[:1], token, "once").json() == first.json()
    check_books(database, event)


def test_a_repeat_shows_what_became_of_the_reservation(service, event):
    token = token_for()
    first = hold(service, event, event.seat_ids[:1], token, "once").json()["reservation"]
    service.post(f"/reservations/{first['id']}/cancel", token=token)
    again = hold(service, event, event.seat_ids[:1], token, "once").json()["reservation"]
    assert again["id"] == first["id"]
    assert [seat["status"] for seat in again["seats"]] == ["available"]


def test_a_repeat_after_the_end_of_the_hold_holds_nothing(service, event, database):
    token = token_for()
    first = hold(service, event, event.seat_ids[:1], token, "once").json()["reservation"]
    end(database, first["id"])
    again = hold(service, event, event.seat_ids[:1], token, "once").json()["reservation"]
    assert (again["id"], again["seats"][0]["status"]) == (first["id"], "available")


def test_someone_just_taking_a_seat_turns_others_away_at_once(service, event, database, redis):
    redis.set(f"ticket:{{{event.id}}}:seat-lock:{event.seat_ids[1]}", "someone", px=5_000)
    answer = hold(service, event, event.seat_ids[:2])
    assert (answer.status, answer.json()["code"]) == (409, "SEAT_LOCKED")
    assert answer.headers["Retry-After"] == "1"
    # All or none: the first seat's lock was given back.
    assert hold(service, event, event.seat_ids[:1]).status == 201
    check_books(database, event)


def test_locks_are_freed_after_success_and_refusal(service, event, redis):
    hold(service, event, event.seat_ids[:1])
    hold(service, event, event.seat_ids[:1])
    assert redis.keys(f"ticket:{{{event.id}}}:seat-lock:*") == []


def test_a_lock_that_vanished_sells_nothing_twice(service, event, database, redis):
    """Redis only makes it fast: flushed all the time, the row locks still decide."""

    def buy():
        lose(redis)
        return hold(service, event, event.seat_ids[:1])

    answers = at_once([buy] * 40)
    assert sorted(answer.status for answer in answers).count(201) == 1
    assert {answer.status for answer in answers} <= {201, 409}
    check_books(database, event)
