"""Counts the people who look at an event, over all instances."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import NamedTuple

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis

DEAD_AFTER_MS = 20_000
"""After so long without a report an instance counts as dead, and its people are taken off."""


class Count(NamedTuple):
    """How many people look at an event."""

    people: int
    """-1 when this instance must report everyone again."""
    changed: bool
    """Whether it differs from the one that was last announced."""
    announce: bool
    """Whether it does, and it is time to send it to the event's room."""


class PresenceCounts:
    """The counts of all events. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, update_seconds: float) -> None:
        """`update_seconds`: the shortest time between two announcements of one count."""
        self._redis = redis
        self._update_ms = int(update_seconds * 1000)
        self._instance = secrets.token_hex(8)
        self._script = LuaScript("presence")

    def report(
        self,
        event_id: str,
        joined: Collection[str],
        left: Collection[str],
        *,
        everyone: bool,
    ) -> Count:
        """Report the user ids that joined and left on this instance, a few thousand at most.

        `everyone`: `joined` has all who are there. Call it every few seconds while anyone is there.
        """
        people, changed, announce = self._redis.run(
            self._script,
            keys.presence(event_id),
            self._instance,
            DEAD_AFTER_MS,
            self._update_ms,
            int(everyone),
            len(joined),
            *joined,
            *left,
        )
        return Count(people, bool(changed), bool(announce))
