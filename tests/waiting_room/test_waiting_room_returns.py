"""Leaving and being back soon, as a page is that is loaded again: the old place is there."""

import time

import pytest

from tests.support.browser import run_client
from tests.support.buyers import at_once
from tests.support.internal import TOKEN, tell_payment
from tests.support.service import run_service
from tests.support.visitors import Visitor, arrive, clear_queue, overview, run_queue
from tests.support.waiting_room import buy_seat, buy_ticket, keys_of, numbers
from tests.support.wire import check_error, check_soon
from ticket_service.stores import keys

SOON = 2
"""QUEUE_RETURN_SECONDS of the instance `strict`."""


@pytest.fixture(scope="module")
def strict(servers, folder):
    with run_service(folder, QUEUE_RETURN_SECONDS=str(SOON)) as instance:
        yield instance
        instance.kill()


def leave_by_socket(visitor):
    with run_client(visitor.service.url, visitor.token) as socket:
        assert socket.emit("leave-queue", visitor.event_id) == {"success": True}


leaving = pytest.mark.parametrize("leave", [Visitor.leave, leave_by_socket])


# Who waited


@leaving
def test_who_waited_stands_where_they_stood(service, room, leave):
    *_, first, second, third = arrive(service, room, 5)
    leave(second)
    assert second.stands() == ("not_in_queue", 0)  # looking is not coming back
    assert third.stands() == ("queued", 2)
    assert second.check()["position"] == 2
    assert [one.stands()[1] for one in (first, second, third)] == [1, 2, 3]


def test_a_socket_that_joins_is_back_as_well(service, room):
    *_, first, second = arrive(service, room, 4)
    first.leave()
    with run_client(service.url, first.token) as socket:
        assert socket.emit("join-queue", room)["position"] == 1
    assert second.stands() == ("queued", 2)


def test_who_waited_and_whose_turn_it_was_meanwhile_is_the_first(service, room):
    inside, _, first, second, third = arrive(service, room, 5)
    first.leave()
    inside.leave()
    check_soon(second.stands, ("active", 0))
    assert first.check()["position"] == 1
    assert third.stands() == ("queued", 2)


def test_leaving_twice_forgets_nothing(service, room):
    *_, first, _ = arrive(service, room, 4)
    first.leave()
    first.leave()
    assert first.check()["position"] == 1


def test_who_waited_takes_no_place_by_a_sign_of_life_or_a_hold(service, event):
    """Also where there is room: the admissions are paused."""
    run_queue(service, event.id, threshold=1)
    inside, first, second = arrive(service, event.id, 3)
    run_queue(service, event.id, paused=True)
    inside.leave()
    first.leave()
    assert first.heartbeat() == {"status": "not_in_queue", "queued": False}
    check_error(buy_seat(service, event, first.token), 403, "QUEUE_REQUIRED")
    assert second.stands() == ("queued", 1)
    assert first.check()["position"] == 1


# Who was inside


@leaving
def test_who_was_inside_goes_straight_in_where_there_is_room(service, room, leave):
    inside = arrive(service, room, 1)[0]
    ends = inside.status()["stayEndsAt"]
    leave(inside)
    assert inside.stands() == ("not_in_queue", 0)
    place = inside.check()
    assert (place["status"], place["stayEndsAt"]) == ("active", ends), "the stay was prolonged"


def test_who_was_inside_goes_before_everybody_who_waits(service, room):
    """The place itself is given on at once."""
    *inside, next_one, first, second = arrive(service, room, 5)
    ends = inside[0].status()["stayEndsAt"]
    inside[0].leave()
    check_soon(next_one.stands, ("active", 0))
    assert inside[0].check()["position"] == 1
    assert [one.stands()[1] for one in (first, second)] == [2, 3]
    assert numbers(service, room) == (3, 2)
    assert overview(service, room)["longestWait"] < 60
    inside[1].leave()
    check_soon(inside[0].stands, ("active", 0))
    assert inside[0].status()["stayEndsAt"] == ends, "the stay was prolonged"
    assert first.stands() == ("queued", 1)


def test_a_pause_is_for_those_who_were_not_inside(service, event):
    run_queue(service, event.id, threshold=2)
    inside, other = arrive(service, event.id, 2)
    run_queue(service, event.id, paused=True)
    inside.leave()
    assert Visitor(service, event.id).check()["position"] == 1
    assert inside.check()["status"] == "active"
    assert other.stands() == ("active", 0)


COMES_BACK = {
    "heartbeat": lambda service, event, visitor: visitor.heartbeat()["status"] == "active",
    "seats": lambda service, event, visitor: buy_seat(service, event, visitor.token).status == 201,
    "tickets": lambda service, event, visitor: (
        buy_ticket(service, event, visitor.token).status == 201
    ),
}


@pytest.mark.parametrize("call", COMES_BACK)
def test_a_sign_of_life_or_a_hold_takes_the_place_inside_back(service, event, call):
    """People wait, and the admissions are paused, so that the place stays free."""
    run_queue(service, event.id, threshold=1)
    inside, waiting = arrive(service, event.id, 2)
    ends = inside.status()["stayEndsAt"]
    run_queue(service, event.id, paused=True)
    inside.leave()
    assert COMES_BACK[call](service, event, inside)
    place = inside.status()
    assert (place["status"], place["stayEndsAt"]) == ("active", ends)
    assert waiting.stands() == ("queued", 1)


def test_without_room_a_sign_of_life_takes_nothing_back_and_forgets_nothing(service, event):
    run_queue(service, event.id, threshold=1)
    inside, next_one, third = arrive(service, event.id, 3)
    inside.leave()
    check_soon(next_one.stands, ("active", 0))
    assert inside.heartbeat()["status"] == "not_in_queue"
    check_error(buy_seat(service, event, inside.token), 403, "QUEUE_REQUIRED")
    assert numbers(service, event.id) == (1, 1)
    assert inside.check()["position"] == 1
    assert third.stands() == ("queued", 2)


def test_a_stranger_comes_in_by_no_heartbeat(service, event):
    assert Visitor(service, event.id).heartbeat()["status"] == "not_in_queue"


# What ends it


def test_after_the_time_one_goes_to_the_end(strict, room):
    """Also while something is kept of somebody who left later."""
    inside, _, first, *_, later = arrive(strict, room, 6)
    first.leave()
    inside.leave()
    time.sleep(SOON / 2)
    later.leave()
    time.sleep(SOON / 2 + 0.1)
    assert first.check()["position"] == 2
    assert inside.heartbeat()["status"] == "not_in_queue"
    assert inside.check()["position"] == 3


def test_who_was_sent_away_is_not_back(service, room):
    inside, other, waiting = arrive(service, room, 3)
    waiting.leave()
    inside.leave()
    clear_queue(service, room)
    assert inside.heartbeat()["status"] == "not_in_queue"
    arrive(service, room, 3)
    assert [one.check()["position"] for one in (other, waiting)] == [2, 3]


def test_who_paid_is_not_back(start_service, event):
    """They left for the page of the payment; the stay is over all the same."""
    service = start_service(INTERNAL_API_TOKEN=TOKEN)
    run_queue(service, event.id, threshold=1)
    buyer, waiting = arrive(service, event.id, 2)
    made = buy_seat(service, event, buyer.token).json()["reservation"]["id"]
    buyer.leave()
    assert tell_payment(service, made).status == 200
    assert buyer.heartbeat()["status"] == "not_in_queue"
    check_soon(waiting.stands, ("active", 0))
    arrive(service, event.id, 1)
    assert buyer.check()["position"] == 2


def test_nothing_is_kept_of_those_who_do_not_come_back(strict, event, redis):
    _, _, _, _, _, left, tickets = keys.waiting_room(event.id)
    gone, last = arrive(strict, event.id, 2)
    gone.leave()
    assert {left, tickets} <= set(keys_of(redis, event.id))
    time.sleep(SOON / 2)
    last.leave()
    time.sleep(SOON / 2 + 0.1)
    arrive(strict, event.id, 1)[0].leave()
    assert redis.zscore(left, gone.id) is None
    assert redis.hget(tickets, gone.id) is None
    check_soon(lambda: redis.exists(left, tickets), 0, SOON + 3)


# Many


def test_a_crowd_that_loads_its_pages_again_exceeds_no_threshold(
    service, other_service, event, redis
):
    """Everybody leaves and is back soon, while the loops give the free places on."""
    run_queue(service, event.id, threshold=7)
    people = arrive(service, event.id, 30)
    inside = keys.waiting_room(event.id)[2]
    most = 0

    def reload(number, visitor):
        nonlocal most
        instance = (service, other_service)[number % 2]
        visitor.leave(instance)
        time.sleep(number % 4 * 0.3)  # so that the place of some is given on meanwhile
        if number % 3 == 0:
            visitor.heartbeat()
        visitor.check(instance)
        most = max(most, redis.zcard(inside))

    for _ in range(3):
        at_once([lambda n=n, one=one: reload(n, one) for n, one in enumerate(people)])
    assert most <= 7
    check_soon(lambda: numbers(service, event.id), (23, 7))
