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

    def current(self, event_id: str) -> str | None:
        """The version now; None where there is none yet. Raises RedisUnavailable."""
        version: str | None = self._redis.command("GET", keys.version(event_id))
        return version

    def begin(self, event_id: str) -> str | None:
        """Give an event that has no version its first; None where it has one by now.

        What was read while there was no version may be kept under the one that this returns: any
        write since then has made one. Raises RedisUnavailable.
        """
        version = new_version()
        key = keys.version(event_id)
        made = self._redis.command("SET", key, version, "NX", "EX", VERSION_TTL)
        return version if made else None

    def change(self, event_id: str) -> None:
        """Make every kept answer about this event stale; call after the commit.

        What is committed stays so: without Redis this only logs, and the kept answers of other
        instances end by age.
        """
        try:
            self._redis.command("SET", keys.version(event_id), new_version(), "EX", VERSION_TTL)
        except RedisUnavailable:
            log.warning("version not changed", extra={"event_id": event_id})
