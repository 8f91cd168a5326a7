"""Whether this instance can serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores import keys
from ticket_service.stores.postgres import Postgres
from ticket_service.stores.redis import Redis


class Loop(Protocol):
    """What health asks of a loop."""

    def details(self) -> dict[str, Any]:
        """How it goes, for people who look."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Which dependencies answer, and whether this instance is about to stop."""

    postgres: bool
    """Whether it would take a write, too."""
    redis: bool
    stopping: bool
    loops: list[dict[str, Any]]
    """How each loop of this instance goes."""


class Health:
    """Asks the dependencies."""

    def __init__(self, postgres: Postgres, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self.loops: Sequence[Loop] = ()
        self.stopping = False
        """Set when the instance is told to stop: it is to get no new connections."""

    def readiness(self) -> Readiness:
        """Ask PostgreSQL and Redis now; raises nothing."""
        loops = [loop.details() for loop in self.loops]
        return Readiness(self._postgres_answers(), self._redis_answers(), self.stopping, loops)

    def _postgres_answers(self) -> bool:
        try:
            self._postgres.check_writable()
        except ServiceUnavailable:
            return False
        return True

    def _redis_answers(self) -> bool:
        try:
            self._redis.command("SET", keys.PROBE, 1, "EX", 60)  # to be read is not enough
        except ServiceUnavailable:
            return False
        return True
