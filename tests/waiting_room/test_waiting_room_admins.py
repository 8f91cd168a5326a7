"""The admins of the waiting room: thresholds, pauses, clearing."""

import json
import time

import pytest

from tests.support.buyers import token_for
from tests.support.visitors import Visitor, arrive, clear_queue, overview, run_queue
from tests.support.waiting_room import CALLS, numbers, send
from tests.support.wire import check_error, check_soon, is_korean
from ticket_service.stores import keys

ADMIN_CALLS = CALLS[4:]


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
