"""A stay inside the waiting room has a longest length, whatever signs of life there are."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.browser import run_client
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.service import Response, Service, run_service
from tests.support.visitors import Visitor, arrive, overview, run_queue
from tests.support.waiting_lines import own_redis_url
from tests.support.wire import check_error, check_soon, is_korean, is_time

redis_url = own_redis_url

LONGEST, SILENT, NO_SHOW = 4, 2, 1
"""Seconds: the longest stay, and how long one without a sign of life lasts."""


@pytest.fixture(scope="module")
def service(redis_url: str, folder: Path) -> Iterator[Service]:
    with run_service(
        folder,
        REDIS_URL=redis_url,
        QUEUE_MAX_STAY_SECONDS=str(LONGEST),
        QUEUE_TTL_SECONDS=str(SILENT),
        QUEUE_NO_SHOW_SECONDS=str(NO_SHOW),
    ) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


@pytest.fixture
def room(service: Service, event: Event) -> str:
    """The id of an event with room for one."""
    run_queue(service, event.id, threshold=1)
    return event.id


def buy(visitor: Visitor, event: Event, seat: int = 0) -> Response:
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    return visitor.service.post("/seats/reserve", token=visitor.token, json=body)


def buy_nothing(visitor: Visitor) -> None:
    """An attempt to buy a seat that does not exist: a sign of life, and no hold."""
    body = {"eventId": visitor.event_id, "seatIds": [str(uuid4())]}
    assert visitor.service.post("/seats/reserve", token=visitor.token, json=body).status in (
        403,
        404,
    )


def ends_at(place: dict[str, Any]) -> float:
    """When the stay ends, seconds since the epoch."""
    assert is_time(place["stayEndsAt"])
    return datetime.fromisoformat(place["stayEndsAt"]).timestamp()


# How it ends

SIGNS: dict[str, Callable[[Visitor], object]] = {
    "status": Visitor.status,
    "check": Visitor.check,
    "heartbeat": Visitor.heartbeat,
    "an attempt to buy": buy_nothing,
    "an open socket": lambda _: None,
}


@pytest.mark.parametrize("sign", SIGNS)
def test_no_sign_of_life_prolongs_a_stay_beyond_its_longest(service: Service, room: str, sign: str):
    with ExitStack() as stack:
        inside, waiting = Visitor(service, room), Visitor(service, room)
        if sign == "an open socket":
            socket = stack.enter_context(run_client(service.url, inside.token))
            assert socket.emit("join-queue", room)["status"] == "active"
        else:
            inside.check()
        began = time.monotonic()
        assert waiting.check()["position"] == 1
        while waiting.stands() != ("active", 0):
            assert time.monotonic() - began < LONGEST + 1
            SIGNS[sign](inside)
            time.sleep(0.1)
        assert time.monotonic() - began > LONGEST - 0.5
        if sign == "check":
            inside.check()  # the last one of the loop may have come before the end
        assert inside.status()["status"] == ("queued" if sign == "check" else "not_in_queue")
        assert overview(service, room)["currentUsers"] == 1


def test_the_longest_stay_begins_with_the_admission(service: Service, room: str):
    """Not with the first sign of life after it."""
    first, second = arrive(service, room, 2)
    first.leave()
    left = time.time()
    check_soon(lambda: overview(service, room)["queueSize"], 0)
    time.sleep(NO_SHOW / 2)
    assert left + LONGEST - 0.1 < ends_at(second.status()) < left + LONGEST + 0.5


def test_one_can_buy_until_the_end_and_not_after_it(service: Service, event: Event, room: str):
    inside, waiting = arrive(service, room, 2)
    end = ends_at(inside.status())
    while time.time() < end - 0.5:
        inside.heartbeat()
        waiting.heartbeat()
        time.sleep(0.1)
    assert buy(inside, event, 0).status == 201
    check_soon(waiting.stands, ("active", 0))
    details = check_error(buy(inside, event, 1), 403, "QUEUE_REQUIRED")["details"]
    assert (details["status"], details["enter"]) == (
        "not_in_queue",
        f"POST /api/v1/queue/check/{room}",
    )
    mine = service.get("/reservations/my", token=inside.token).json()["reservations"]
    assert [one["status"] for one in mine] == ["pending"]  # the hold has a time of its own


def test_whoever_enters_again_goes_behind_the_line(service: Service, room: str):
    inside, second, third = arrive(service, room, 3)
    began = time.monotonic()
    while inside.stands() == ("active", 0):
        assert time.monotonic() - began < LONGEST + 1
        second.heartbeat()
        third.heartbeat()
        time.sleep(0.1)
    place = inside.check()
    assert place["position"] == place["queueSize"]
    check_soon(second.stands, ("active", 0))
    assert [visitor.stands() for visitor in (third, inside)] == [("queued", 1), ("queued", 2)]


def test_where_nobody_waits_one_enters_again_at_once(service: Service, room: str):
    visitor = Visitor(service, room)
    first = ends_at(visitor.check())
    while (place := visitor.status())["status"] == "active":
        assert time.time() < first + 1
        time.sleep(0.1)
    assert place["stayEndsAt"] is None
    assert ends_at(visitor.check()) >= first + LONGEST - 0.1


# What one is told


def test_the_end_is_told_wherever_ones_place_is(service: Service, room: str):
    inside, waiting, stranger = (Visitor(service, room) for _ in range(3))
    began = time.time()
    with run_client(service.url, inside.token) as socket:
        joined = socket.emit("join-queue", room)
        assert began + LONGEST - 0.1 < ends_at(joined) < time.time() + LONGEST + 0.1
        for place in (inside.check(), inside.status(), socket.emit("join-queue", room)):
            assert place["stayEndsAt"] == joined["stayEndsAt"]
    assert waiting.check()["stayEndsAt"] is None
    assert waiting.status()["stayEndsAt"] is None
    assert stranger.status()["stayEndsAt"] is None


def test_every_open_socket_is_told_that_the_stay_is_over_and_of_the_next_entry(
    service: Service, redis_url: str, folder: Path, room: str
):
    """The second time too, and on the instance that did not see the stay end."""
    other = run_service(
        folder,
        REDIS_URL=redis_url,
        QUEUE_MAX_STAY_SECONDS=str(LONGEST),
        QUEUE_TTL_SECONDS=str(SILENT),
        QUEUE_NO_SHOW_SECONDS=str(NO_SHOW),
    )
    visitor, neighbour = Visitor(service, room), Visitor(service, room)
    with (
        other as far,
        run_client(service.url, visitor.token) as here,
        run_client(far.url, visitor.token) as there,
        run_client(far.url, neighbour.token) as stranger,
    ):
        here.emit("join-queue", room)
        there.emit("join-queue", room)
        assert stranger.emit("join-queue", room)["status"] == "queued"
        for socket in (here, there):
            [payload] = socket.wait_for("queue-stay-ended", seconds=LONGEST + 2)
            assert payload.keys() == {"eventId", "message"}
            assert payload["eventId"] == room
            assert is_korean(payload["message"])
        stranger.wait_for("queue-entry-allowed")
        assert visitor.check()["position"] == 1
        neighbour.leave()
        for socket in (here, there):
            socket.wait_for("queue-entry-allowed")
            socket.wait_for("queue-stay-ended", count=2, seconds=LONGEST + 2)
            assert len(socket.payloads("queue-entry-allowed")) == 1
            assert len(socket.payloads("queue-stay-ended")) == 2
        far.kill()


def test_whoever_left_on_a_socket_hears_of_the_next_entry_too(service: Service, room: str):
    """However soon; and that they left is no news."""
    visitor, other = Visitor(service, room), Visitor(service, room)
    with run_client(service.url, visitor.token) as socket:
        assert socket.emit("join-queue", room)["status"] == "active"
        socket.emit("leave-queue", room)
        assert other.check()["status"] == "active"
        assert visitor.check()["position"] == 1
        other.leave()
        socket.wait_for("queue-entry-allowed")
        assert socket.payloads("queue-stay-ended") == []
