"""Who looks at an event, over all instances."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import NamedTuple

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis

DEAD_AFTER_MS = 20_000
"""An instance that has not called for so long is gone, and its people with it."""


class Count(NamedTuple):
    """How many people look at an event."""

    people: int
    """-1 when this instance must say again who is there."""
    tell: bool
    """Whether it is time to tell them."""


class PresenceCounts:
    """The counts of all events. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, update_seconds: float) -> None:
        self._redis = redis
        self._update_ms = int(update_seconds * 1000)
        self._instance = secrets.token_hex(8)
        self._script = LuaScript("presence")

    def report(
        self,
        event_id: str,
        came: Collection[str],
        went: Collection[str],
        *,
        everyone: bool,
        joined: bool,
    ) -> Count:
        """Say who came to this instance and who went, a few thousand at most, and count all.

        `everyone`: those who came are all who are there. `joined`: a socket joined that waits to be
        told the count. To be called every few seconds as long as there is anyone.
        """
        flags = (int(everyone), int(joined))
        people, tell = self._redis.run(
            self._script,
            keys.presence(event_id),
            self._instance,
            DEAD_AFTER_MS,
            self._update_ms,
            *flags,
            len(came),
            *came,
            *went,
        )
        return Count(people, bool(tell))
