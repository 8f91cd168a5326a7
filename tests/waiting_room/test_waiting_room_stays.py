"""The time that visitors have: silence ends it, and signs of life prolong it."""

import time

import pytest

from dev.servers import valkey
from tests.support.factories import section, ticket
from tests.support.service import run_service
from tests.support.visitors import Visitor, arrive, run_queue
from tests.support.waiting_room import buy_seat, buy_ticket
from tests.support.wire import check_soon

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
