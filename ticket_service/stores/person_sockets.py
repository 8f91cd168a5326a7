"""How many sockets a person has, over all instances."""

from __future__ import annotations

import secrets

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis
from ticket_service.stores.sessions import SESSION_TTL

DEAD_AFTER_MS = 20_000
"""An instance that has not called for so long is gone, and its sockets with it."""


class PersonSockets:
    """The counts of all people. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, max_sockets: int) -> None:
        self._redis = redis
        self._max_sockets = max_sockets
        self._instance = secrets.token_hex(8)
        self._alive: list[str] = []
        self._call = LuaScript("instances")
        self._count = LuaScript("person_sockets")

    def call(self) -> None:
        """Say that this instance lives, and learn which others do; to be called every second."""
        self._alive = self._redis.run(self._call, [keys.INSTANCES], self._instance, DEAD_AFTER_MS)

    def count(self, user_id: str, here: int) -> bool:
        """Say how many sockets a person has here now. False where more than before would be more
        than they may have over all instances; then the count stays as it was."""
        counted = self._redis.run(
            self._count,
            [keys.sockets(user_id)],
            self._instance,
            here,
            self._max_sockets,
            DEAD_AFTER_MS,
            SESSION_TTL,
            *self._alive,
        )
        return bool(counted)
