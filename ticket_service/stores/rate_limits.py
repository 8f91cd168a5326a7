"""Limits on how often people and addresses do what costs, over all instances.

The library `limits` decides when it is too often, with its fixed window, which begins with the
first hit. Its storage for Redis would make each request wait for a call. Ours does not: a hit looks
only at what this instance was last told, and a greenlet tells Redis about all hits together, at
most every SEND_INTERVAL. So some hits too many pass until the answer is here, and without Redis
nothing is known and nobody is refused.
"""

from __future__ import annotations

import logging
import math
import time
from itertools import islice
from typing import NamedTuple

import gevent
from cachetools import LRUCache
from gevent.event import Event
from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from ticket_service import metrics
from ticket_service.errors import ServiceUnavailable, TooManyRequests
from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis, RedisUnavailable
from ticket_service.stores.redis_state import State

SEND_INTERVAL = 0.05
"""Seconds between two calls to Redis. The first hit after a pause is sent at once."""

MAX_PENDING = 10_000
"""Counters with hits that Redis has not been told of; about 220 bytes each. Hits of others are not
counted meanwhile."""

MAX_KNOWN = 20_000
"""Counters that are known, those that were hit last; about 360 bytes each. One that is dropped is
known again after its next hit."""

MAX_KEYS = 200
"""Counters in one call, so that neither Redis nor our event loop is kept for long."""

MAX_LOGGED = 1_000
"""People and addresses of which it is remembered that their refusal was logged."""

log = logging.getLogger(__name__)


class _Window(NamedTuple):
    hits: int
    ends_at: float
    """By `time.monotonic`."""


class HitCounters(Storage):
    """The counters, as `limits` uses them. Only `send_forever` waits for Redis."""

    STORAGE_SCHEME = None

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis
        self._script = LuaScript("count_hits")
        self.pending: dict[str, tuple[int, int]] = {}
        """Hits that Redis has not been told of. By counter: the length of its window in seconds,
        and the hits to add."""
        self._wake = Event()
        self._known: LRUCache[str, _Window] = LRUCache(MAX_KNOWN)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the methods may raise."""
        return ServiceUnavailable

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count hits, soon. Returns the count with these hits, as far as this instance knows."""
        pending = self.pending.get(key)
        if pending is not None:
            self.pending[key] = expiry, pending[1] + amount
        elif len(self.pending) < MAX_PENDING:
            self.pending[key] = expiry, amount
            self._wake.set()
        return self.get(key) + amount

    def get(self, key: str) -> int:
        """The count of which this instance was last told; 0 if the window is over."""
        window = self._known.get(key)
        return window.hits if window and window.ends_at > time.monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since the epoch; now if none is known."""
        window = self._known.get(key)
        left = window.ends_at - time.monotonic() if window else 0.0
        return time.time() + max(0.0, left)

    def check(self) -> bool:
        """Whether Redis answers."""
        return self._redis.state.current in (State.WELL, State.BACK)

    def reset(self) -> int:
        """Forget what is known here, and return how many counters that was. Redis keeps them."""
        known = len(self._known)
        self._known.clear()
        return known

    def clear(self, key: str) -> None:
        """Forget what is known here of a counter. Redis keeps it."""
        self._known.pop(key, None)

    def send_forever(self) -> None:
        """Tell Redis about the hits, and learn the counts. Run it in a greenlet of its own."""
        while True:
            self._wake.wait()
            self._wake.clear()
            pending, self.pending = self.pending, {}
            hits = iter(pending.items())
            try:
                while some := dict(islice(hits, MAX_KEYS)):
                    self._send(some)
            except RedisUnavailable:
                self.reset()
            gevent.sleep(SEND_INTERVAL)

    def _send(self, hits: dict[str, tuple[int, int]]) -> None:
        counters = list(hits)
        answer = self._redis.run(
            self._script, counters, *(number for pair in hits.values() for number in pair)
        )
        now = time.monotonic()
        for position, count, left_ms in zip(*(iter(answer),) * 3, strict=True):
            self._known[counters[position - 1]] = _Window(count, now + left_ms / 1000)


class RateLimit:
    """One limit: how often each person, or each address, may do one thing."""

    def __init__(
        self,
        counters: HitCounters,
        name: str,
        item: RateLimitItem | None,
        error: type[TooManyRequests],
    ) -> None:
        """`name`: that of the setting, for keys, metrics and logs. `item`: the limit; None: there
        is none. `error`: what to raise."""
        self._strategy = FixedWindowRateLimiter(counters)
        self._name = name
        self._item = item and type(item)(item.amount, item.multiples, keys.RATE_LIMITS)
        self._error = error
        self._refused = metrics.RATE_LIMITED.labels(name)
        self._logged: LRUCache[str, float] = LRUCache(MAX_LOGGED)
        """By whom: when the window ends in which the refusal was logged (`time.time()`)."""

    def hit(self, who: str | None) -> None:
        """Count one hit of a person or an address. Never waits.

        Raises TooManyRequests if it is one too many. `who`: None if that is not known; then there
        is no limit.
        """
        if self._item is None or who is None:
            return
        if not self._strategy.hit(self._item, self._name, who):
            self._refuse(self._item, who)

    def take_back(self, who: str | None) -> None:
        """Count one hit less."""
        if self._item is not None and who is not None:
            self._strategy.hit(self._item, self._name, who, cost=-1)

    def _refuse(self, item: RateLimitItem, who: str) -> None:
        now = time.time()
        ends_at = self._strategy.get_window_stats(item, self._name, who).reset_time
        seconds = max(1, math.ceil(ends_at - now))
        self._refused.inc()
        if self._logged.get(who, 0.0) <= now:
            self._logged[who] = now + seconds
            log.info("rate limited", extra={"limit": self._name, "of": who, "seconds": seconds})
        raise self._error(seconds)
