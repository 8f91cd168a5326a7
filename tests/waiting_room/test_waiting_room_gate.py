"""The gate: who may buy, and what the others are told."""

from uuid import uuid4

import pytest

from tests.support.books import check_books
from tests.support.buyers import token_for
from tests.support.visitors import Visitor, arrive, run_queue
from tests.support.waiting_room import buy_seat, buy_ticket, keys_of, numbers
from tests.support.wire import check_error, is_korean

buying = pytest.mark.parametrize("buy", [buy_seat, buy_ticket])


@buying
def test_a_buyer_who_finds_room_comes_in_on_the_spot(service, event, room, buy):
    buyer = Visitor(service, room)
    assert buy(service, event, buyer.token).status == 201
    assert buyer.stands() == ("active", 0)
    assert numbers(service, room) == (0, 1)


@buying
def test_a_buyer_who_waits_is_told_his_position(service, event, room, buy, redis, database):
    *_, third, fourth = arrive(service, room, 4)
    error = check_error(buy(service, event, fourth.token), 403, "QUEUE_REQUIRED")
    assert error["details"]["status"] == "queued"
    assert error["details"]["position"] == 2
    assert "enter" not in error["details"]
    assert is_korean(error["error"])
    assert [third.stands(), fourth.stands()] == [("queued", 1), ("queued", 2)]
    assert not [key for key in keys_of(redis, room) if "seat-lock" in key]
    check_books(database, event)
    assert service.get("/reservations/my", token=fourth.token).json() == {"reservations": []}


@buying
def test_a_buyer_who_is_nowhere_is_invited_to_enter(service, event, room, buy):
    arrive(service, room, 2)
    stranger = Visitor(service, room)
    details = check_error(buy(service, event, stranger.token), 403, "QUEUE_REQUIRED")["details"]
    assert (details["status"], details["position"]) == ("not_in_queue", 0)
    assert details["enter"] == f"POST /api/v1/queue/check/{room}"
    assert stranger.stands() == ("not_in_queue", 0)
    method, _, path = details["enter"].partition(" ")
    entered = service.request(method, path, token=stranger.token).json()
    assert entered["position"] == 1


@buying
def test_a_line_closes_the_gate_even_while_there_is_room(service, event, buy):
    run_queue(service, event.id, paused=True)
    arrive(service, event.id, 1)
    check_error(buy(service, event, token_for()), 403, "QUEUE_REQUIRED")
    assert numbers(service, event.id) == (1, 0)


@buying
def test_a_pause_closes_the_gate_to_all_but_those_inside(service, event, buy):
    inside = arrive(service, event.id, 1)[0]
    run_queue(service, event.id, paused=True)
    check_error(buy(service, event, token_for()), 403, "QUEUE_REQUIRED")
    assert buy(service, event, inside.token).status == 201


@buying
def test_the_repeat_of_a_success_needs_no_place(service, event, room, buy):
    key, buyer = str(uuid4()), Visitor(service, room)
    first = buy(service, event, buyer.token, key)
    assert first.status == 201
    buyer.leave()
    arrive(service, room, 3)
    again = buy(service, event, buyer.token, key)
    assert (again.status, again.json()) == (201, first.json())
    check_error(buy(service, event, buyer.token, str(uuid4())), 403, "QUEUE_REQUIRED")
    check_error(buy(service, event, buyer.token), 403, "QUEUE_REQUIRED")
    check_error(buy(service, event, token_for(), key), 403, "QUEUE_REQUIRED")
    assert buyer.stands() == ("not_in_queue", 0)


@buying
def test_at_the_gate_too_a_person_is_the_same_in_upper_case(service, event, room, buy):
    inside, *_ = arrive(service, room, 3)
    assert buy(service, event, token_for(inside.id.upper())).status == 201
