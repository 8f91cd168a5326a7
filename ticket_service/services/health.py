"""The readiness of this instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores import keys
from ticket_service.stores.postgres import Postgres
from ticket_service.stores.redis import Redis


class Loop(Protocol):
    """The part of a loop that health uses."""

    def details(self) -> dict[str, Any]:
        """The state of the loop, as the readiness probe shows it."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Which dependencies answer, and whether this instance is about to stop."""

    postgres: bool
    """Whether PostgreSQL answers and takes writes."""
    redis: bool
    """Whether Redis answers and takes writes."""
    stopping: bool
    loops: list[dict[str, Any]]
    """The details of each loop."""


class Health:
    """Checks the dependencies."""

    def __init__(self, postgres: Postgres, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self.loops: Sequence[Loop] = ()
        self.stopping = False
        """Set when the instance is told to stop, so that it gets no new connections."""

    def readiness(self) -> Readiness:
        """Ask PostgreSQL and Redis now. Raises nothing."""
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
            self._redis.command("SET", keys.PROBE, 1, "EX", 60)  # a read-only Redis is not ready
        except ServiceUnavailable:
            return False
        return True
