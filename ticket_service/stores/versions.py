"""The version of an event's inventory, shared by all instances: how a cache knows it is stale.

A version is a random word, not a counter: a counter that starts again after Redis was flushed
could come back to a number under which an old answer is still kept.
"""

from __future__ import annotations

import logging
import secrets

from ticket_service.stores import keys
from ticket_service.stores.redis import Redis, RedisUnavailable

VERSION_TTL = 3600
"""Seconds; a quiet event's version vanishes, and the next reader makes a new one."""

log = logging.getLogger(__name__)


def new_version() -> str:
    """A word that no version ever was."""
    return secrets.token_hex(8)


class Versions:
    """Reads and changes versions."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def current(self, event_id: str) -> str:
        """The version now. Raises RedisUnavailable."""
        key = keys.version(event_id)
        version: str | None = self._redis.command("GET", key)
        if version is None:
            self._redis.command("SET", key, new_version(), "NX", "EX", VERSION_TTL)
            version = self._redis.command("GET", key)
        return str(version)

    def change(self, event_id: str) -> None:
        """Make every kept answer about this event stale; call after the commit.

        What is committed stays so: without Redis this only logs, and the kept answers of other
        instances end by age.
        """
        try:
            self._redis.command("SET", keys.version(event_id), new_version(), "EX", VERSION_TTL)
        except RedisUnavailable:
            log.warning("version not changed", extra={"event_id": event_id})
