"""Counts the sockets of each person, over all instances."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis
from ticket_service.stores.sessions import SESSION_TTL

DEAD_AFTER_MS = 20_000
"""After so long without a heartbeat an instance counts as dead, and its sockets as closed."""


class Report(NamedTuple):
    """The answer to a report."""

    accepted: bool
    """False, and nothing changed, if the count grew and is too many over all instances."""
    session: bool
    """Whether Redis has the rooms of the person's session."""


class PersonSockets:
    """The counts of all people in Redis. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, max_sockets: int) -> None:
        self._redis = redis
        self._max_sockets = max_sockets
        self._instance = secrets.token_hex(8)
        self._alive: list[str] = []
        self._heartbeat = LuaScript("instances")
        self._report = LuaScript("person_sockets")

    def heartbeat(self) -> None:
        """Report that this instance is alive, and read which others are. Call it every second."""
        self._alive = self._redis.run(
            self._heartbeat, [keys.INSTANCES], self._instance, DEAD_AFTER_MS
        )

    def report(self, user_id: str, count: int) -> Report:
        """Report how many sockets a person has on this instance, and extend their session."""
        rooms, choice, _, sockets = keys.session(user_id)
        accepted, session = self._redis.run(
            self._report,
            [sockets, rooms, choice],
            self._instance,
            count,
            self._max_sockets,
            DEAD_AFTER_MS,
            SESSION_TTL,
            *self._alive,
        )
        return Report(bool(accepted), bool(session))
