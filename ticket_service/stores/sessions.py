"""Where a person was last, kept so that a socket that reconnects finds its rooms again."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

import orjson

from ticket_service.stores import keys
from ticket_service.stores.redis import Redis, Script

SESSION_TTL = 3600
"""Seconds after the last socket of the person was there."""


class Session(NamedTuple):
    """The rooms of a person, the last one he joined last, and the seats he chose."""

    rooms: list[str]
    chosen: list[str]


class Sessions:
    """The sessions of all people: what any of their sockets joined, and none left."""

    def __init__(self, redis: Redis, most_rooms: int) -> None:
        self._redis = redis
        self._most_rooms = most_rooms
        self._script = Script("session")

    def update(
        self,
        user_id: str,
        joined: Collection[str] = (),
        kept: Collection[str] = (),
        left: str | None = None,
        chosen: list[str] | None = None,
    ) -> Session:
        """Note what changed, if anything, keep the session for another hour, and give it.

        `joined`: rooms that are the last ones now; or `kept`: rooms in which a socket is still.
        Raises RedisUnavailable.
        """
        seats, rooms = self._redis.run(
            self._script,
            keys.session(user_id),
            int(time.time() * 1000),
            SESSION_TTL,
            self._most_rooms,
            "" if chosen is None else orjson.dumps(chosen).decode(),
            left or "",
            int(bool(joined)),
            *(joined or kept),
        )
        return Session(rooms, orjson.loads(seats) if seats else [])
