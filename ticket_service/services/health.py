"""Whether this instance can serve."""

from __future__ import annotations

from dataclasses import dataclass

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores.postgres import Postgres, Script
from ticket_service.stores.redis import Redis

_ANSWER = Script(answer="SELECT 1")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Which dependencies answer."""

    postgres: bool
    redis: bool


class Health:
    """Asks the dependencies."""

    def __init__(self, postgres: Postgres, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis

    def readiness(self) -> Readiness:
        """Ask PostgreSQL and Redis now; raises nothing."""
        return Readiness(postgres=self._postgres_answers(), redis=self._redis_answers())

    def _postgres_answers(self) -> bool:
        try:
            self._postgres.transaction(_ANSWER)
        except ServiceUnavailable:
            return False
        return True

    def _redis_answers(self) -> bool:
        try:
            self._redis.command("PING")
        except ServiceUnavailable:
            return False
        return True
