"""Rate limits while Redis does not answer, and the memory that they take."""

import tracemalloc
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from uuid import uuid4

import gevent
import pytest
from limits import parse

from dev.servers import Servers
from tests.support.degradation import Instance, behind_proxies, eventually
from tests.support.rate_limits import LIMIT, LONG, PROXY, exhaust, flood, new_address, search
from ticket_service.errors import TooManyRequests
from ticket_service.stores.rate_limits import HitCounters, RateLimit
from ticket_service.stores.redis import Redis

IDENTIFIERS = 100_000

MAX_PENDING_BYTES = 3_500_000
MAX_KNOWN_BYTES = 9_000_000

NUMBERS = count()


@pytest.fixture(scope="module")
def instance(servers: Servers, folder: Path) -> Iterator[Instance]:
    limit = {"SEARCHES_PER_ADDRESS": f"{LIMIT}/{LONG}", "TRUSTED_PROXIES": PROXY}
    with behind_proxies(servers.database_url, servers.redis_url, folder, **limit) as started:
        yield started


@pytest.mark.parametrize("trouble", ["refuse", "hang"])
def test_without_redis_nobody_is_refused_and_with_it_everybody_again(
    instance: Instance, trouble: str
):
    address = new_address()
    ask = partial(search, instance.service, address)
    exhaust(ask, LIMIT)
    getattr(instance.redis, trouble)()
    eventually(lambda: ask().status == 200)
    assert flood(ask, 5 * LIMIT) == [200] * 5 * LIMIT
    assert flood(partial(search, instance.service, new_address()), 5 * LIMIT) == [200] * 5 * LIMIT
    instance.redis.restore()
    instance.redis_is("well", "back")
    exhaust(ask, 0)  # its window goes on
    exhaust(partial(search, instance.service, new_address()), LIMIT)


def test_memory_is_bounded_whoever_comes(servers: Servers):
    counters = HitCounters(Redis(servers.redis_url))
    limit = RateLimit(counters, f"test-{uuid4().hex}", parse("3/minute"), TooManyRequests)
    tracemalloc.start()
    try:
        hit_each(limit, IDENTIFIERS, 1)  # nothing is sent: Redis hangs, or the greenlet is late
        assert tracemalloc.get_traced_memory()[0] < MAX_PENDING_BYTES
        sender = gevent.spawn(counters.send_forever)
        for _ in range(5):
            hit_each(limit, 10_000, 2)
            while counters.pending:
                gevent.sleep(0.001)
        assert tracemalloc.get_traced_memory()[0] < MAX_PENDING_BYTES + MAX_KNOWN_BYTES
    finally:
        tracemalloc.stop()
    eventually(lambda: is_refused(limit, "somebody"))  # it still works
    sender.kill()


def is_refused(limit: RateLimit, who: str) -> bool:
    gevent.sleep(0.01)
    try:
        limit.hit(who)
    except TooManyRequests:
        return True
    return False


def hit_each(limit: RateLimit, people: int, times: int) -> None:
    """So many people come, each so many times, and never again."""
    for _ in range(people):
        who = f"{next(NUMBERS):036x}"  # as long as an id
        for _ in range(times):
            limit.hit(who)
