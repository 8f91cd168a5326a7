"""Makes two waiting lines in Redis, a short and a long one, as the service would make them.

The keys are those of ticket_service/lua/waiting_room.lua. The waiting rooms are full for longer
than any run, so everyone keeps their place.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from redis import Redis

from bench.data import Data
from ticket_service.stores import keys

SHORT = 1_000
"""People in the short line."""

ASKERS = 500
"""People who send requests: few enough that the service has checked and cached their tokens within
the warm-up of the first row."""

INSIDE = 1_000
"""People inside, and the threshold."""

KEPT_SECONDS = 2 * 3600
"""Seconds after which Redis drops the keys of a run that was killed."""

ARRIVALS_PER_SECOND = 10_000
"""People who entered the lines each second."""

POLLED_SECONDS = 30
"""Everyone in line gave their last sign of life at a random time within so many seconds."""

BATCH = 1_000
"""People in one command."""


class Line(NamedTuple):
    """A line in front of an event."""

    event_id: str
    people: int


@dataclass(frozen=True)
class Lines:
    """Both lines."""

    short: Line
    long: Line
    askers: Sequence[str]
    """The ids of the people who send requests; they are spread evenly over both lines."""
    bytes_each: float
    """Memory that Redis takes for each person in the long line."""


@contextmanager
def lines(redis: Redis, data: Data, people: int) -> Iterator[Lines]:
    """Make both lines, the long one of `people`, until the block ends.

    In the end the keys of all waiting rooms of the run are deleted. Raises RedisError.
    """
    short, long = (Line(*line) for line in zip(data.queued_ids, (SHORT, people), strict=True))
    askers = [str(uuid.uuid4()) for _ in range(ASKERS)]
    try:
        _fill(redis, short, askers)
        empty = _memory(redis)
        _fill(redis, long, askers)
        yield Lines(short, long, askers, (_memory(redis) - empty) / people)
    finally:
        _clear(redis, data.event_ids)


def _fill(redis: Redis, line: Line, askers: Sequence[str]) -> None:
    """Put people in line, with the askers spread evenly, and fill the waiting room."""
    waiting, seen, inside, _, control, *_ = keys.waiting_room(line.event_id)
    now = time.time()
    redis.hset(control, "threshold", INSIDE)
    kept_until = int((now + KEPT_SECONDS) * 1000)
    redis.zadd(inside, {_user(number): kept_until for number in range(INSIDE)})
    redis.zadd(seen, {_user(number): kept_until for number in range(INSIDE)})
    people = [_user(number) for number in range(INSIDE, INSIDE + line.people)]
    step = line.people // len(askers)
    people[: step * len(askers) : step] = askers
    began_us = int((now - line.people / ARRIVALS_PER_SECOND) * 1e6)
    for start in range(0, line.people, BATCH):
        tickets, times = {}, {}
        for place, user in enumerate(people[start : start + BATCH], start):
            tickets[user] = began_us + place * 1_000_000 // ARRIVALS_PER_SECOND
            times[user] = int((now - random.random() * POLLED_SECONDS) * 1000)
        batch = redis.pipeline(transaction=False)
        batch.zadd(waiting, tickets)
        batch.zadd(seen, times)
        batch.execute()
    for key in (waiting, seen, inside, control):
        redis.expire(key, KEPT_SECONDS)


def _user(number: int) -> str:
    """A user id. A random one would take ten times as long to make."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def _memory(redis: Redis) -> int:
    used: int = redis.info("memory")["used_memory"]
    return used


def _clear(redis: Redis, event_ids: Sequence[str]) -> None:
    for event_id in event_ids:
        redis.unlink(*keys.waiting_room(event_id))
    redis.zrem(keys.WAITING_LINES, *event_ids)
