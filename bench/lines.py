"""Two waiting lines, a short and a long one, made in Redis as the service itself would make them.

What is written has the shape of ticket_service/lua/waiting_room.lua. Inside is full, and stays so
for longer than any run: whoever waits keeps their place.
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

ASKERS = 500
"""Their tokens are checked and kept by the service within the warm-up of the first row."""

INSIDE = 1_000

KEPT_SECONDS = 2 * 3600
"""After which Redis drops what a run that was killed left behind."""

ARRIVALS_PER_SECOND = 10_000
"""How fast the lines grew."""

POLLED_SECONDS = 30
"""Everyone in line was last seen at some moment of this time."""

BATCH = 1_000
"""People in one command."""


class Line(NamedTuple):
    """A line in front of an event."""

    event_id: str
    people: int


@dataclass(frozen=True)
class Lines:
    """What there is."""

    short: Line
    long: Line
    askers: Sequence[str]
    """The people who ask; they stand all along both lines."""
    bytes_each: float
    """Memory that Redis takes for each person in the long line."""


@contextmanager
def lines(redis: Redis, data: Data, people: int) -> Iterator[Lines]:
    """Make both lines, the long one of so many `people`, until the block ends.

    In the end everything goes that any waiting room of the run kept. Raises RedisError.
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
    """Put people in line, the askers evenly among them, and as many inside as there may be."""
    waiting, seen, inside, _, control = keys.waiting_room(line.event_id)
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
    """Someone's id; a random one takes ten times as long to make."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def _memory(redis: Redis) -> int:
    used: int = redis.info("memory")["used_memory"]
    return used


def _clear(redis: Redis, event_ids: Sequence[str]) -> None:
    for event_id in event_ids:
        redis.unlink(*keys.waiting_room(event_id))
    redis.zrem(keys.WAITING_LINES, *event_ids)
