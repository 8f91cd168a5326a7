"""A stay inside the waiting room has a longest length, whatever signs of life there are."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from dev.servers import Servers, valkey
from tests.support.browser import run_client
from tests.support.factories import Event, section, ticket
from tests.support.service import Response, Service, run_service
from tests.support.visitors import Visitor, arrive, overview, run_queue
from tests.support.wire import check_error, check_soon, is_korean, is_time
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis as Store
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

LONGEST, SILENT, NO_SHOW = 4, 2, 1
"""Seconds: the longest stay, and how long one without a sign of life lasts."""

MakeEvent = Callable[..., Event]


@pytest.fixture(scope="module")
def redis_url(servers: Servers, folder: Path) -> Iterator[str]:
    """A Redis where no instance with other settings lets people in."""
    subfolder = folder / "longest-stay-valkey"
    subfolder.mkdir()
    with valkey(subfolder) as url:
        yield url


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
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


@pytest.fixture
def room(service: Service, event: Event) -> str:
    """The id of an event with room for one."""
    run_queue(service, event.id, threshold=1)
    return event.id


@pytest.fixture
def start_lines(redis_url: str) -> Callable[..., WaitingLines]:
    """The scripts alone, with room for a thousand and long times unless others are named."""

    def start(**changes: Any) -> WaitingLines:
        usual = {"threshold": 1_000, "ttl_seconds": 300, "no_show_seconds": 60}
        rules = {"max_stay_seconds": 900, "update_seconds": 1, **usual, **changes}
        return WaitingLines(Store(redis_url), QueueRules(**rules))

    return start


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


def test_a_crowd_with_open_tabs_makes_room_for_the_next(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    """All thousand inside never fall silent; the thousand behind them come in after the longest
    stay, in few calls of the loop."""
    lines, event_id = start_lines(max_stay_seconds=3), str(uuid4())
    tabs, waiting = ([str(uuid4()) for _ in range(1_000)] for _ in range(2))
    began = time.monotonic()
    for user in tabs:
        assert lines.enter(event_id, user).status == "active"
    entered = time.monotonic()
    for user in waiting:
        assert lines.enter(event_id, user).status == "queued"
    admitted = 0
    while admitted < 1_000:
        assert time.monotonic() < entered + 3 + 1
        lines.keep(event_id, tabs)
        lines.keep(event_id, waiting)
        if some := lines.admit(event_id).admitted:
            assert time.monotonic() - began > 3 - 0.1
            admitted += some
        time.sleep(0.05)
    assert sorted(lines.keep(event_id, waiting)) == sorted(waiting)
    assert lines.keep(event_id, tabs) == []
    redis.delete(*keys.waiting_room(event_id))


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


def test_thousands_whose_stays_end_together_are_swept_before_anybody_comes_in(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    lines, event_id = start_lines(threshold=2_500), str(uuid4())
    waiting_key, seen, inside, *_ = keys.waiting_room(event_id)
    people, waiting = [str(uuid4()) for _ in range(2_500)], str(uuid4())
    for user in people:
        lines.enter(event_id, user)
    assert lines.enter(event_id, waiting).status == "queued"
    redis.zadd(inside, dict.fromkeys(people, 1))
    while (done := lines.admit(event_id)).more:
        assert done.admitted == 0
    assert (done.admitted, redis.zcard(waiting_key)) == (1, 0)
    assert redis.zrange(inside, 0, -1) == redis.zrange(seen, 0, -1) == [waiting]
    redis.delete(*keys.waiting_room(event_id))


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


# How long one waits for it


def test_people_who_all_stay_as_long_as_they_may_are_a_pace(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    """However long no place came free, all of them do within the longest stay."""
    lines, event_id = start_lines(threshold=100), str(uuid4())
    for _ in range(100):
        lines.enter(event_id, str(uuid4()))
    waiting = [str(uuid4()) for _ in range(100)]
    for user in waiting:
        lines.enter(event_id, user)
    lines.admit(event_id)
    pace = keys.waiting_room(event_id)[3]
    redis.hset(pace, "busy", 800_000)  # they wait for 800 s, and no place came free
    assert lines.show(event_id, waiting[-1]).wait == 900
    assert lines.control(event_id).rate == pytest.approx(100 / 900, abs=1e-4)
    redis.delete(*keys.waiting_room(event_id))


def test_a_longest_stay_that_is_shorter_than_the_silence_counts(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    lines, event_id = start_lines(threshold=2, max_stay_seconds=60), str(uuid4())
    places = [lines.enter(event_id, str(uuid4())) for _ in range(3)]
    assert places[2].wait == 30
    redis.delete(*keys.waiting_room(event_id))


# A deployment in the middle of a sale


def test_people_whom_an_older_version_let_in_have_a_whole_stay_from_now_on(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    """It wrote when the stay ends without a sign of life, and nothing else; also over ours."""
    lines, event_id, user = start_lines(), str(uuid4()), str(uuid4())
    inside = keys.waiting_room(event_id)[2]

    def now() -> float:
        seconds, microseconds = redis.time()
        return float(seconds + microseconds / 1e6)

    for _ in range(2):
        redis.zadd(inside, {user: int(now() * 1000) + 300_000})
        for _ in range(2):
            place = lines.show(event_id, user)
            assert place.status == "active"
            assert place.ends_at / 1000 == pytest.approx(now() + 900, abs=5)
    redis.zadd(inside, {user: int(now() * 1000) - 1})
    assert lines.show(event_id, user).status == "not_in_queue"
    redis.delete(*keys.waiting_room(event_id))
