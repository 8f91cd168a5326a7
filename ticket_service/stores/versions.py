"""The version of an event's inventory, shared by all instances, by which caches detect stale data.

A version is a random word and not a counter. After Redis was flushed, a counter would start again,
and could reach a number under which an old answer is still cached.
"""

from __future__ import annotations

import logging
import secrets

from ticket_service.stores import deadline, keys
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.redis import Redis, RedisUnavailable

VERSION_TTL = 3600
"""Seconds. The version of a quiet event expires, and the next reader makes a new one."""

log = logging.getLogger(__name__)


def new_version() -> str:
    """Return a new random version."""
    return secrets.token_hex(8)


class Versions:
    """Reads and changes versions."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._changes: Coalescer[None] = Coalescer()

    def current(self, event_id: str) -> str | None:
        """Return the current version, or None if there is none. Raises RedisUnavailable."""
        version: str | None = self._redis.command("GET", keys.version(event_id))
        return version

    def begin(self, event_id: str) -> str | None:
        """Give an event without a version a new one and return it, or None if it has one by now.

        Data that was read while there was no version may be cached under the returned one: a write
        in the meantime would have made a version. Raises RedisUnavailable.
        """
        version = new_version()
        key = keys.version(event_id)
        made = self._redis.command("SET", key, version, "NX", "EX", VERSION_TTL)
        return version if made else None

    def change(self, event_id: str) -> None:
        """Invalidate all cached answers about this event. Call it after the commit. Concurrent
        callers share one call to Redis.

        Without Redis this only logs, since the write has succeeded. The cached answers of other
        instances then expire by age.
        """
        try:
            with deadline.shared():
                self._changes.run(event_id, lambda: self._set(event_id))
        except RedisUnavailable:
            log.warning("version not changed", extra={"event_id": event_id})

    def _set(self, event_id: str) -> None:
        self._redis.command("SET", keys.version(event_id), new_version(), "EX", VERSION_TTL)
