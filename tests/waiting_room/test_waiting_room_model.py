"""The waiting room's scripts beside a simple model: anything, in any order, on a real Redis."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis
from redis.client import PubSub

from tests.support.line_model import Line, told
from tests.support.line_state import RULES
from tests.support.waiting_lines import own_redis_url
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis as Store
from ticket_service.stores.waiting_lines import WaitingLines

redis_url = own_redis_url
"""Not the Redis of the other tests: their instances would let people in."""


@pytest.fixture
def lines(redis_url: str) -> WaitingLines:
    return WaitingLines(Store(redis_url), RULES)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def channel(redis_url: str) -> Iterator[PubSub]:
    """What all instances hear. Protocol 2, in which a listener's PING has an answer like others."""
    with (
        Redis.from_url(redis_url, decode_responses=True, protocol=2) as client,
        client.pubsub() as listener,
    ):
        listener.subscribe(keys.ADMITTED)
        yield listener


def test_the_scripts_do_what_the_model_does(lines: WaitingLines, redis: Redis, channel: PubSub):
    class Here(Line):
        def __init__(self) -> None:
            super().__init__(lines, redis, channel)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_clock_that_was_set_back_lets_nobody_overtake(lines: WaitingLines, redis: Redis):
    """Nor two who come in the same microsecond: each ticket is above the last one's."""
    event_id, first, *others = (str(uuid4()) for _ in range(10))
    lines.control(event_id, paused=True)
    lines.enter(event_id, first)
    redis.zincrby(keys.waiting_room(event_id)[0], 3_600_000_000, first)  # it was an hour later
    assert [lines.enter(event_id, user).position for user in others] == [*range(2, 10)]
    assert lines.show(event_id, first).position == 1
    redis.delete(*keys.waiting_room(event_id))


def test_a_batch_of_a_thousand_is_one_call_and_one_message(
    lines: WaitingLines, redis: Redis, channel: PubSub
):
    event_id = str(uuid4())
    crowd = [str(uuid4()) for _ in range(2_500)]
    lines.control(event_id, paused=True)
    for user in crowd:
        lines.enter(event_id, user)
    lines.control(event_id, threshold=2_400, paused=False)
    rounds = [lines.admit(event_id) for _ in range(4)]
    assert [done.admitted for done in rounds] == [1_000, 1_000, 400, 0]
    assert [done.more for done in rounds] == [True, True, False, False]
    assert (rounds[-1].waiting, rounds[-1].inside) == (100, 2_400)
    batches = told(channel, event_id)
    assert [user for batch in batches for user in batch["userIds"]] == crowd[:2_400]
    assert len(batches) == 3
    redis.delete(*keys.waiting_room(event_id))


def test_thousands_whose_time_ran_out_are_swept(lines: WaitingLines, redis: Redis, channel: PubSub):
    """In as many calls as it takes, before anybody is let in: not one of them is."""
    event_id = str(uuid4())
    silent, patient = [str(uuid4()) for _ in range(2_500)], str(uuid4())
    _, seen, inside, *_ = keys.waiting_room(event_id)
    lines.control(event_id, paused=True)
    for user in [*silent, patient]:
        lines.enter(event_id, user)
    redis.zadd(seen, dict.fromkeys(silent, 1))
    lines.control(event_id, paused=False)
    while (done := lines.admit(event_id)).more:
        assert done.admitted == 0
    assert (done.admitted, done.waiting) == (1, 0)
    assert redis.zrange(inside, 0, -1) == redis.zrange(seen, 0, -1) == [patient]
    assert told(channel, event_id) == [{"eventId": event_id, "userIds": [patient]}]
    redis.delete(*keys.waiting_room(event_id))
