"""Limits how many messages a person may send, over all their sockets.

Each instance counts its own messages here, which is cheap. lua/session.lua counts over all
instances, in the Redis call that a message makes anyway. Without Redis only this count remains.
"""

from __future__ import annotations

import time

from cachetools import TTLCache

from ticket_service.errors import RateLimited

BURST = 40
"""Messages that a person may send at once."""

PER_SECOND = 10
"""Further messages each second."""

MAX_PEOPLE = 50_000
"""People whose messages are counted at a time; about 200 bytes each."""


class MessageLimit:
    """Counts the messages of each person on this instance."""

    def __init__(self) -> None:
        # Not kept with the sockets: connecting again would give a person a new burst. An entry
        # may go after the TTL, since the whole burst is free again by then.
        self._free_at: TTLCache[str, float] = TTLCache(
            MAX_PEOPLE, ttl=BURST / PER_SECOND, timer=time.monotonic
        )

    def count(self, user_id: str) -> None:
        """Count one message of a person. Raises RateLimited when it is one too many."""
        now = time.monotonic()
        free_at = max(now, self._free_at.get(user_id, now))
        if free_at - now > (BURST - 1) / PER_SECOND:
            raise RateLimited
        self._free_at[user_id] = free_at + 1 / PER_SECOND
