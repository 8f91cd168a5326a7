"""Where a person was last, kept so that a socket that reconnects finds its rooms again."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import orjson

from ticket_service.errors import RateLimited
from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis

SESSION_TTL = 3600
"""Seconds after the last socket of the person was there."""


class Session(NamedTuple):
    """The rooms of a person, the last one they joined last, and the seats they chose."""

    rooms: list[str]
    chosen: list[str]


class Sessions:
    """The sessions of all people: what any of their sockets joined, and none left."""

    def __init__(self, redis: Redis, most_rooms: int, burst: int, per_second: int) -> None:
        """`burst`: messages that a person may send at once; `per_second`: how many more."""
        self._redis = redis
        self._most_rooms = most_rooms
        self._burst = burst
        self._gap_ms = 1000 // per_second
        self._script = LuaScript("session")

    def update(
        self,
        user_id: str,
        *,
        joined: Collection[str] = (),
        kept: Collection[str] = (),
        left: str | None = None,
        chosen: list[str] | None = None,
        message: bool = False,
    ) -> Session:
        """Note what changed, if anything, keep the session for another hour, and give it.

        `joined`: rooms that are the last ones now; or `kept`: rooms in which a socket is still.
        `chosen`: ids of seats, which are told to others. `message`: the person sent one, which
        counts.

        Raises RedisUnavailable, and RateLimited for a message that is one too many; then nothing
        changed.
        """
        allowed, seats, rooms = self._redis.run(
            self._script,
            keys.session(user_id),
            SESSION_TTL,
            self._most_rooms,
            "" if chosen is None else orjson.dumps(chosen).decode(),
            left or "",
            int(bool(joined)),
            self._burst if message else 0,
            self._gap_ms,
            *(joined or kept),
        )
        if not allowed:
            raise RateLimited
        return Session(rooms, orjson.loads(seats) if seats else [])
