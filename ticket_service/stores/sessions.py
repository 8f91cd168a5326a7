"""Sessions: the rooms and chosen seats of a person, for sockets that reconnect."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import orjson

from ticket_service.errors import RateLimited
from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis

SESSION_TTL = 3600
"""Seconds for which a session is kept after the person's last socket closed."""


class Session(NamedTuple):
    """The session of a person."""

    rooms: list[str]
    """The rooms that any of their sockets joined and none left, the latest last."""
    chosen: list[str]
    """The ids of the seats that they chose."""


class Sessions:
    """The sessions of all people, and their message limit over all instances."""

    def __init__(self, redis: Redis, max_rooms: int, burst: int, per_second: int) -> None:
        """`max_rooms`: rooms kept in a session. `burst`: messages that a person may send at once.
        `per_second`: further messages each second."""
        self._redis = redis
        self._max_rooms = max_rooms
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
        """Change a session, extend it by SESSION_TTL, and return it.

        `joined`: rooms joined now, which become the latest. `kept`, instead: rooms that a socket
        is still in. `left`: a room to take out. `chosen`: the ids of the chosen seats, checked by
        the caller. `message`: count one message of the person.

        Raises RedisUnavailable, and RateLimited for one message too many; then nothing changed.
        """
        allowed, seats, rooms = self._redis.run(
            self._script,
            keys.session(user_id),
            SESSION_TTL,
            self._max_rooms,
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
