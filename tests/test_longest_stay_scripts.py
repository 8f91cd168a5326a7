"""The longest stay inside the waiting room, as its scripts count it."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from tests.support.waiting_lines import own_redis_url
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis as Store
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

redis_url = own_redis_url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def start_lines(redis_url: str) -> Callable[..., WaitingLines]:
    """The scripts alone, with room for a thousand and long times unless others are named."""

    def start(**changes: Any) -> WaitingLines:
        usual = {
            "threshold": 1_000,
            "ttl_seconds": 300,
            "no_show_seconds": 60,
            "update_seconds": 1,
        }
        rules = {"max_stay_seconds": 900, "return_seconds": 20, **usual, **changes}
        return WaitingLines(Store(redis_url), QueueRules(**rules))

    return start


# How it ends


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
