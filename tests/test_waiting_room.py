"""The waiting room over HTTP: coming in, waiting, staying, leaving; the gate; and the admins."""

import json
import time
from uuid import uuid4

import pytest

from dev.servers import valkey
from tests.support.books import check_books
from tests.support.buyers import at_once, token_for
from tests.support.factories import section, ticket
from tests.support.service import run_service
from tests.support.visitors import (
    PLACE,
    Visitor,
    arrive,
    clear_queue,
    overview,
    run_queue,
)
from tests.support.wire import check_error, check_soon, is_korean, is_time
from ticket_service.stores import keys

UNKNOWN = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

CALLS = [
    ("POST", "/queue/check/{}"),
    ("GET", "/queue/status/{}"),
    ("POST", "/queue/heartbeat/{}"),
    ("POST", "/queue/leave/{}"),
    ("GET", "/queue/admin/{}"),
    ("PUT", "/queue/admin/{}"),
    ("POST", "/queue/admin/clear/{}"),
]
ADMIN_CALLS = CALLS[4:]

STAY, NO_SHOW = 2, 1
"""Seconds, in the instance `brief`."""


@pytest.fixture(scope="module")
def brief(servers, folder):
    """An instance whose visitors have little time, on a Redis where no other lets them in."""
    subfolder = folder / "brief-valkey"
    subfolder.mkdir()
    with (
        valkey(subfolder) as url,
        run_service(
            folder,
            REDIS_URL=url,
            QUEUE_TTL_SECONDS=str(STAY),
            QUEUE_NO_SHOW_SECONDS=str(NO_SHOW),
        ) as service,
    ):
        yield service
        service.kill()


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


@pytest.fixture
def room(service, event):
    """The id of an event with room for two."""
    run_queue(service, event.id, threshold=2)
    return event.id


def send(service, method, path, role="user", **options):
    """A call of CALLS by someone new; a PUT has a good body unless another is given."""
    if method == "PUT" and not options:
        options = {"json": {"threshold": 5}}
    return service.request(method, f"/api/v1{path}", token=token_for(role=role), **options)


def buy_seat(service, event, token, key=None, seat=0):
    body = {"eventId": event.id, "seatIds": event.seat_ids[seat : seat + 1]}
    headers = {"Idempotency-Key": key} if key else {}
    return service.post("/seats/reserve", token=token, json=body, headers=headers)


def buy_ticket(service, event, token, key=None):
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    headers = {"Idempotency-Key": key} if key else {}
    body = {"eventId": event.id, "items": items}
    return service.post("/reservations", token=token, json=body, headers=headers)


buying = pytest.mark.parametrize("buy", [buy_seat, buy_ticket])


def keys_of(redis, event_id):
    return sorted(redis.scan_iter(f"*{event_id}*", count=1000))


def numbers(service, event_id):
    """People waiting and people inside."""
    seen = overview(service, event_id)
    return seen["queueSize"], seen["currentUsers"]


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


def test_a_place_never_gets_worse(service, room):
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
    assert third.check()["position"] == 2


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


# Time


def test_a_silent_visitor_loses_his_stay_and_the_next_comes_in(brief, event):
    run_queue(brief, event.id, threshold=1)
    silent, waiting = arrive(brief, event.id, 2)
    started = time.monotonic()
    check_soon(waiting.stands, ("active", 0), seconds=STAY + 1)
    assert time.monotonic() - started > STAY - 0.5
    assert silent.stands() == ("not_in_queue", 0)


def test_a_silent_one_in_line_loses_his_place(brief, event):
    run_queue(brief, event.id, paused=True)
    _, patient = arrive(brief, event.id, 2)
    assert patient.stands() == ("queued", 2)
    check_soon(patient.stands, ("queued", 1), seconds=STAY + 1)


def test_every_sign_of_life_prolongs_the_stay_and_the_wait(brief, event, make_event):
    line = make_event(sections=[section(seats=10)], tickets=[ticket()])
    run_queue(brief, line.id, paused=True)
    signs = {
        "check": lambda visitor, _: visitor.check(),
        "status": lambda visitor, _: visitor.status(),
        "heartbeat": lambda visitor, _: visitor.heartbeat(),
        "seats": lambda visitor, event: buy_seat(brief, event, visitor.token),
        "tickets": lambda visitor, event: buy_ticket(brief, event, visitor.token),
        "nothing": lambda *_: None,
    }
    people = [
        (kind, event, where, Visitor(brief, event.id))
        for event, where in ((event, "active"), (line, "queued"))
        for kind in signs
    ]
    for *_, visitor in people:
        visitor.check()
    deadline = time.monotonic() + 1.5 * STAY
    while time.monotonic() < deadline:
        for kind, where, _, visitor in people:
            signs[kind](visitor, where)
        time.sleep(0.2)
    for kind, _, status, visitor in people:
        expected = "not_in_queue" if kind == "nothing" else status
        assert (kind, visitor.status()["status"]) == (kind, expected)


def test_who_was_admitted_and_never_comes_loses_the_place_sooner(brief, event):
    run_queue(brief, event.id, threshold=1)
    inside, absent, waiting = arrive(brief, event.id, 3)
    inside.leave()
    check_soon(lambda: waiting.status()["position"], 1)
    started = time.monotonic()
    check_soon(waiting.stands, ("active", 0), seconds=NO_SHOW + 1)
    assert time.monotonic() - started < NO_SHOW + 0.8 < STAY
    assert absent.stands() == ("not_in_queue", 0)


def test_who_was_admitted_and_comes_has_a_whole_stay(brief, event):
    run_queue(brief, event.id, threshold=1)
    inside, next_one, waiting = arrive(brief, event.id, 3)
    inside.leave()
    check_soon(next_one.stands, ("active", 0))
    deadline = time.monotonic() + NO_SHOW + 0.5
    while time.monotonic() < deadline:
        assert waiting.stands() == ("queued", 1)
        time.sleep(0.1)


# The gate


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


# Admins


@pytest.mark.parametrize(("method", "path"), ADMIN_CALLS)
def test_admin_calls_are_for_admins(service, room, method, path):
    visitors = arrive(service, room, 3)
    before = overview(service, room)
    for body in ({}, {"json": {"threshold": 1}}, {"body": b"{broken"}):
        answer = send(service, method, path.format(room), **body)
        check_error(answer, 403, "FORBIDDEN")
    for headers in ({}, {"Authorization": "Bearer x.y.z"}):
        answer = service.request(method, f"/api/v1{path.format(room)}", headers=headers)
        assert answer.status == 401
    assert {**overview(service, room), "longestWait": 0} == {**before, "longestWait": 0}
    assert visitors[2].stands() == ("queued", 1)


def test_an_admin_may_wait_too(service, room):
    for call in ("check", "heartbeat", "leave"):
        token = token_for(role="admin")
        assert service.post(f"/queue/{call}/{room}", token=token).status == 200


def test_a_pause_keeps_the_line_and_admits_nobody(service, room):
    inside, _, *waiting = arrive(service, room, 4)
    assert run_queue(service, room, paused=True)["paused"] is True
    inside.leave()
    newcomer = Visitor(service, room)
    assert newcomer.check()["position"] == 3
    time.sleep(1)
    assert [visitor.stands()[1] for visitor in [*waiting, newcomer]] == [1, 2, 3]
    assert overview(service, room)["paused"] is True
    assert numbers(service, room) == (3, 1)
    resumed = run_queue(service, room, paused=False)
    assert resumed["paused"] is False
    check_soon(waiting[0].stands, ("active", 0))
    assert waiting[1].stands() == ("queued", 1)


def test_during_a_pause_everyone_waits(service, event):
    run_queue(service, event.id, paused=True)
    visitors = arrive(service, event.id, 3)
    assert [visitor.stands() for visitor in visitors] == [("queued", n) for n in (1, 2, 3)]
    run_queue(service, event.id, paused=False)
    check_soon(lambda: [visitor.stands()[0] for visitor in visitors], ["active"] * 3)


def test_a_higher_threshold_admits_at_once(service, room):
    visitors = arrive(service, room, 6)
    assert run_queue(service, room, threshold=5)["threshold"] == 5
    check_soon(lambda: numbers(service, room), (1, 5))
    assert [visitor.stands()[0] for visitor in visitors] == ["active"] * 5 + ["queued"]
    assert visitors[5].status()["threshold"] == 5


def test_a_lower_threshold_sends_nobody_away(service, event):
    run_queue(service, event.id, threshold=3)
    visitors = arrive(service, event.id, 5)
    lowered = run_queue(service, event.id, threshold=1)
    assert (lowered["currentUsers"], lowered["available"]) == (3, 0)
    assert [visitor.stands()[0] for visitor in visitors] == ["active"] * 3 + ["queued"] * 2
    for leaver in visitors[:2]:
        leaver.leave()
    time.sleep(0.6)  # longer than the next admission would take
    assert numbers(service, event.id) == (2, 1)
    visitors[2].leave()
    check_soon(lambda: numbers(service, event.id), (1, 1))
    assert visitors[3].stands() == ("active", 0)


def test_an_admins_threshold_holds_for_one_event_and_on_every_instance(
    service, start_service, make_event
):
    changed, other, instance = make_event(), make_event(), start_service()
    run_queue(service, changed.id, threshold=7)
    assert Visitor(instance, changed.id).check()["threshold"] == 7
    assert Visitor(instance, other.id).check()["threshold"] == 1000


def test_each_change_leaves_the_other_alone(service, event):
    run_queue(service, event.id, threshold=7)
    run_queue(service, event.id, paused=True)
    run_queue(service, event.id, threshold=8)
    seen = overview(service, event.id)
    assert (seen["threshold"], seen["paused"]) == (8, True)
    seen = run_queue(service, event.id, threshold=9, paused=False)
    assert (seen["threshold"], seen["paused"]) == (9, False)


def test_the_threshold_is_a_setting(start_service, event):
    service = start_service(QUEUE_THRESHOLD="1")
    places = [Visitor(service, event.id).check() for _ in range(2)]
    assert [(place["status"], place["threshold"]) for place in places] == [
        ("active", 1),
        ("queued", 1),
    ]
    service.kill()


def test_clearing_sends_everyone_away(service, room):
    visitors = arrive(service, room, 5)
    answer = service.post(f"/queue/admin/clear/{room}", token=token_for(role="admin"))
    assert (answer.status, answer.json().keys()) == (200, {"message"})
    assert is_korean(answer.json()["message"])
    assert numbers(service, room) == (0, 0)
    assert {visitor.stands() for visitor in visitors} == {("not_in_queue", 0)}
    assert overview(service, room)["threshold"] == 2
    assert [visitor.check()["position"] for visitor in reversed(visitors)] == [0, 0, 1, 2, 3]
    clear_queue(service, room)
    clear_queue(service, room)


def test_the_longest_wait_is_that_of_the_first_in_line(service, room, redis):
    *_, third, fourth = arrive(service, room, 4)
    assert overview(service, room)["longestWait"] == 0
    waiting = keys.waiting_room(room)[0]
    redis.zincrby(waiting, -90_000_000, third.id)  # they have been here for 90 seconds
    redis.zincrby(waiting, -50_000_000, fourth.id)
    assert overview(service, room)["longestWait"] in (90, 91)
    third.leave()
    assert overview(service, room)["longestWait"] in (50, 51)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"threshold": 0},
        {"threshold": -1},
        {"threshold": 10_000_001},
        {"threshold": 2**63},
        {"threshold": 10**400},
        {"threshold": 1.0},
        {"threshold": 1.5},
        {"threshold": True},
        {"threshold": "5"},
        {"threshold": None},
        {"threshold": []},
        {"paused": 0},
        {"paused": 1},
        {"paused": "true"},
        {"paused": "yes"},
        {"paused": None},
        {"paused": {}},
        {"other": 1},
        {"threshold": 5, "other": 1},
        {"threshold": 5, "paused": 1},
        {"threshold": 0, "paused": True},
        [],
        [{"threshold": 5}],
        None,
        5,
        "text",
    ],
    ids=lambda body: repr(body)[:30],
)
def test_a_change_that_means_nothing_is_refused_and_changes_nothing(service, room, body):
    raw = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = send(service, "PUT", f"/queue/admin/{room}", "admin", body=raw, headers=headers)
    check_error(answer, 400, "VALIDATION_ERROR")
    seen = overview(service, room)
    assert (seen["threshold"], seen["paused"]) == (2, False)


@pytest.mark.parametrize("threshold", [1, 10_000_000])
def test_the_ends_of_the_range_are_fine(service, room, threshold):
    assert run_queue(service, room, threshold=threshold)["threshold"] == threshold


# Ids and keys


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_id_must_be_a_uuid(service, method, path):
    for wrong in ("abc", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.replace("-", ""), "%7B%7D", "%00"):
        answer = send(service, method, path.format(wrong), "admin")
        check_error(answer, 400, "VALIDATION_ERROR")


def test_an_event_that_does_not_exist_leaves_no_trace(service, redis):
    unknown = str(uuid4())
    for _ in range(2):
        for method, path in CALLS:
            answer = send(service, method, path.format(unknown), "admin")
            check_error(answer, 404, "EVENT_NOT_FOUND")
        seats = {"eventId": unknown, "seatIds": [UNKNOWN]}
        tickets = {"eventId": unknown, "items": [{"ticketTypeId": UNKNOWN, "quantity": 1}]}
        for path, body in (("/seats/reserve", seats), ("/reservations", tickets)):
            answer = service.post(path, token=token_for(), json=body)
            check_error(answer, 404, "EVENT_NOT_FOUND")
    time.sleep(0.5)  # the loop has come by
    assert keys_of(redis, unknown) == []
    assert redis.zscore(keys.WAITING_LINES, unknown) is None


def test_looking_at_a_quiet_event_makes_no_key(service, event, redis):
    Visitor(service, event.id).status()
    Visitor(service, event.id).heartbeat()
    Visitor(service, event.id).leave()
    overview(service, event.id)
    clear_queue(service, event.id)
    assert keys_of(redis, event.id) == []


def test_every_key_vanishes_when_the_event_is_quiet(service, event, redis):
    def lives():
        return {key: redis.ttl(key) for key in keys_of(redis, event.id)}

    Visitor(service, event.id).check()
    _, seen, inside, *_ = keys.waiting_room(event.id)
    assert lives().keys() == {seen, inside}
    run_queue(service, event.id, threshold=2)
    visitors = arrive(service, event.id, 3)
    buy_seat(service, event, visitors[0].token)
    visitors[0].leave()
    check_soon(visitors[2].stands, ("queued", 1))
    visitors[1].leave()
    visitors[2].leave()
    check_soon(lambda: -1 in lives().values(), False)
    *_, pace, control = keys.waiting_room(event.id)
    left = lives()
    assert {pace, control} <= left.keys()
    assert max(life for key, life in left.items() if "queue" in key and key != control) <= 660
    assert redis.ttl(keys.WAITING_LINES) > 0


def test_the_keys_of_an_event_share_one_hash_tag():
    tags = {key[key.index("{") : key.index("}") + 1] for key in keys.waiting_room(UNKNOWN)}
    assert tags == {f"{{{UNKNOWN}}}"}
