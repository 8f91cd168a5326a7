"""How many messages a person may send, over all their sockets.

Each instance counts by itself, which costs nothing; lua/session.lua counts the same over all
instances, in the one call to Redis that a message makes anyway. Without Redis the first remains.
"""

from __future__ import annotations

import time

from cachetools import TTLCache

from ticket_service.errors import RateLimited

BURST = 40
"""Messages that a person may send at once; PER_SECOND: how many more each second."""
PER_SECOND = 10

MAX_PEOPLE = 50_000
"""People whose messages are counted at a time; about 200 bytes each."""


class MessageLimit:
    """The count of this instance."""

    def __init__(self) -> None:
        # Not with the sockets: a person who connects again would have a burst again. Whoever has
        # sent nothing for so long may send a whole one in any case.
        self._free_at: TTLCache[str, float] = TTLCache(
            MAX_PEOPLE, ttl=BURST / PER_SECOND, timer=time.monotonic
        )

    def count(self, user_id: str) -> None:
        """Count a message of this person. Raises RateLimited when it is one too many."""
        now = time.monotonic()
        free_at = max(now, self._free_at.get(user_id, now))
        if free_at - now > (BURST - 1) / PER_SECOND:
            raise RateLimited
        self._free_at[user_id] = free_at + 1 / PER_SECOND
