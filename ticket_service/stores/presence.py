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
    announce: bool
    """Whether it is time to send the count to the event's room."""


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
        requested: bool,
    ) -> Count:
        """Report the user ids that joined and left on this instance, a few thousand at most.

        `everyone`: `joined` has all who are there. `requested`: announce the count even if it did
        not change, since a socket joined. Call it every few seconds while anyone is there.
        """
        flags = (int(everyone), int(requested))
        people, announce = self._redis.run(
            self._script,
            keys.presence(event_id),
            self._instance,
            DEAD_AFTER_MS,
            self._update_ms,
            *flags,
            len(joined),
            *joined,
            *left,
        )
        return Count(people, bool(announce))
