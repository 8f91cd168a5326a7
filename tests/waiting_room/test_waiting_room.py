"""The waiting room over HTTP: coming in, waiting in line, leaving, and who comes next."""

import time

import pytest

from tests.support.buyers import at_once, token_for
from tests.support.visitors import PLACE, Visitor, arrive, overview, run_queue
from tests.support.waiting_room import buy_ticket, numbers
from tests.support.wire import check_soon, is_korean, is_time
from ticket_service.stores import keys

# The shapes


def test_the_first_comes_in(service, event):
    place = Visitor(service, event.id).check()
    assert is_time(place.pop("stayEndsAt"))
    assert place == {
        "queued": False,
        "status": "active",
        "position": 0,
        "estimatedWait": 0,
        "queueSize": 0,
        "currentUsers": 1,
        "threshold": 1000,
        "eventInfo": {"title": event.title, "artist": "Artist"},
    }


def test_whoever_finds_no_room_waits(service, room):
    arrive(service, room, 2)
    first, second = Visitor(service, room), Visitor(service, room)
    place = first.check()
    assert place.keys() == PLACE | {"eventInfo"}
    wait = place.pop("estimatedWait")
    del place["eventInfo"]
    assert place == {
        "queued": True,
        "status": "queued",
        "position": 1,
        "queueSize": 1,
        "currentUsers": 2,
        "threshold": 2,
        "stayEndsAt": None,
    }
    assert (type(wait), wait) == (int, 150)  # two places once in 300 seconds
    assert second.check()["position"] == 2
    assert second.status()["estimatedWait"] == 300


def test_an_event_may_have_no_artist(service, make_event):
    event = make_event(artist_name=None)
    shown = Visitor(service, event.id).check()["eventInfo"]
    assert shown == {"title": event.title, "artist": None}


def test_the_status_is_the_same_without_the_event(service, room):
    inside, _, waiting = arrive(service, room, 3)
    stranger = Visitor(service, room)
    seen = {visitor: visitor.status() for visitor in (inside, waiting, stranger)}
    assert all(place.keys() == PLACE for place in seen.values())
    assert {type(place["queued"]) for place in seen.values()} == {bool}
    assert [
        (place["status"], place["queued"], place["position"], place["estimatedWait"])
        for place in seen.values()
    ] == [("active", False, 0, 0), ("queued", True, 1, 150), ("not_in_queue", False, 0, 0)]
    assert {(place["queueSize"], place["currentUsers"]) for place in seen.values()} == {(1, 2)}


def test_a_heartbeat_says_where_one_is(service, room):
    inside, _, waiting = arrive(service, room, 3)
    assert inside.heartbeat() == {"status": "active", "queued": False}
    assert waiting.heartbeat() == {"status": "queued", "queued": True}
    stranger = Visitor(service, room)
    assert stranger.heartbeat() == {"status": "not_in_queue", "queued": False}
    assert stranger.stands() == ("not_in_queue", 0)


def test_leaving_is_confirmed_in_both_languages(service, room):
    for language, korean in (("ko", True), ("en", False)):
        answer = service.post(
            f"/queue/leave/{room}", token=token_for(), headers={"Accept-Language": language}
        )
        assert (answer.status, answer.json().keys()) == (200, {"message"})
        assert is_korean(answer.json()["message"]) is korean


def test_an_admin_sees_the_room(service, event):
    assert overview(service, event.id) == {
        "eventId": event.id,
        "queueSize": 0,
        "currentUsers": 0,
        "threshold": 1000,
        "available": 1000,
        "paused": False,
        "admissionRate": 3.3333,
        "longestWait": 0,
    }
    changed = run_queue(service, event.id, threshold=2)
    assert changed == overview(service, event.id)
    arrive(service, event.id, 5)
    seen = overview(service, event.id)
    assert (seen["queueSize"], seen["currentUsers"], seen["available"]) == (3, 2, 0)
    assert (seen["threshold"], seen["admissionRate"]) == (2, 0.0067)


def test_answers_are_for_one_person_only(service, room):
    answer = service.post(f"/queue/check/{room}", token=token_for())
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "application/json"


# The line


def test_a_reload_keeps_the_place(service, start_service, room):
    other = start_service()
    visitors = arrive(service, room, 5)
    for instance in (service, other, service):
        places = [visitor.check(instance) for visitor in visitors]
        assert [place["position"] for place in places] == [0, 0, 1, 2, 3]
        assert {place["queueSize"] for place in places} == {3}
        assert {place["currentUsers"] for place in places} == {2}


def test_nobody_overtakes_those_who_wait(service, event):
    run_queue(service, event.id, threshold=1)
    inside, *waiting = arrive(service, event.id, 3)
    run_queue(service, event.id, paused=True)  # so that the free place stays free
    inside.leave()
    run_queue(service, event.id, threshold=10)
    assert Visitor(service, event.id).check()["position"] == 3
    assert [visitor.stands() for visitor in waiting] == [("queued", 1), ("queued", 2)]


def test_a_person_is_the_same_in_upper_case(service, room):
    *_, waiting = arrive(service, room, 3)
    arrive(service, room, 1)
    shouting = Visitor(service, room.upper(), waiting.id.upper())
    assert shouting.check()["position"] == 1
    assert shouting.stands() == ("queued", 1)
    assert shouting.check()["queueSize"] == 2


def test_a_place_never_gets_worse(start_service, room):
    """Where nobody may have an old place back."""
    service = start_service(QUEUE_RETURN_SECONDS="0")
    inside = arrive(service, room, 2)
    ahead = arrive(service, room, 3)
    me = arrive(service, room, 1)[0]
    behind = arrive(service, room, 2)
    seen = [me.check()["position"]]
    for act in (
        ahead[1].leave,
        behind[0].check,
        ahead[0].check,
        behind[1].leave,
        lambda: run_queue(service, room, threshold=1),
        ahead[0].leave,
        ahead[0].check,  # to the end of the line
        lambda: run_queue(service, room, paused=True),
        inside[0].leave,
        inside[0].check,
        lambda: run_queue(service, room, paused=False),
        inside[1].leave,
    ):
        act()
        seen += [me.status()["position"], me.check()["position"]]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 4
    check_soon(me.stands, ("queued", 1))


def test_many_at_once_never_exceed_the_threshold(service, start_service, event, redis):
    """Half of them by walking up to the till."""
    instances = [service, start_service()]
    run_queue(service, event.id, threshold=7)

    def enter(number):
        instance = instances[number % 2]
        if number % 4 < 2:
            return instance.post(f"/queue/check/{event.id}", token=token_for())
        return buy_ticket(instance, event, token_for())

    answers = at_once([lambda number=number: enter(number) for number in range(200)])
    assert redis.zcard(keys.waiting_room(event.id)[2]) == 7
    came_in = [a for a in answers if a.status == 201 or a.json().get("status") == "active"]
    assert 0 < len(came_in) <= 7  # an instance with too much to do may have lost an answer


# Leaving and admission


def test_a_place_left_goes_to_the_next(service, room):
    first, second, third, fourth = arrive(service, room, 4)
    first.leave()
    check_soon(third.stands, ("active", 0))
    assert fourth.stands() == ("queued", 1)
    assert first.stands() == ("not_in_queue", 0)
    second.leave()
    check_soon(fourth.stands, ("active", 0))


def test_leaving_the_line_moves_those_behind_up(service, room):
    *_, third, fourth = arrive(service, room, 4)
    third.leave()
    assert third.stands() == ("not_in_queue", 0)
    assert fourth.stands() == ("queued", 1)
    assert third.check()["position"] == 1  # they left just now


def test_leaving_twice_or_without_a_place_harms_nobody(service, room):
    *_, waiting = arrive(service, room, 3)
    stranger = Visitor(service, room)
    stranger.leave()
    waiting.leave()
    waiting.leave()
    assert numbers(service, room) == (0, 2)


@pytest.mark.parametrize("body", [None, b"", b"{}", b"null", b"{broken", b"\xff\0", b"x" * 1000])
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain;charset=UTF-8"])
def test_a_closing_tab_may_send_any_body(service, room, body, content_type):
    visitor = arrive(service, room, 1)[0]
    headers = {"Content-Type": content_type} if content_type else {}
    path = f"/queue/leave/{room}"
    assert service.post(path, token=visitor.token, body=body, headers=headers).status == 200
    assert visitor.stands() == ("not_in_queue", 0)


def test_a_place_that_one_instance_freed_is_filled_by_another(service, start_service, room):
    """The first instance dies right after."""
    other = start_service()
    inside, _, third, fourth = arrive(other, room, 4)
    inside.leave(other)
    other.kill()
    check_soon(lambda: third.status(service)["status"], "active")
    assert fourth.status(service)["position"] == 1


def test_an_instance_looks_after_lines_that_it_never_saw(start_service, event):
    """It started later, and the one that knew the line is gone; only Redis tells it."""
    old = start_service()
    run_queue(old, event.id, threshold=1)
    inside, waiting = arrive(old, event.id, 2)
    time.sleep(0.6)  # the old one names the line to all
    old.kill()
    new = start_service()
    inside.leave(new)
    check_soon(lambda: overview(new, event.id)["queueSize"], 0)  # nothing of the person
    assert waiting.status(new)["status"] == "active"
