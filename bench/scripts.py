"""Measures how long Redis itself takes for a script, without the network."""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis


class ScriptTime(NamedTuple):
    """The scripts that Redis has run since its start."""

    calls: int
    microseconds: int

    @classmethod
    def read(cls, redis: Redis) -> ScriptTime:
        """Ask Redis. Raises RedisError."""
        scripts = redis.info("commandstats").get("cmdstat_evalsha", {})
        return cls(scripts.get("calls", 0), scripts.get("usec", 0))

    def each_since(self, earlier: ScriptTime) -> float:
        """Microseconds that a script took on average since `earlier`; 0 if none ran."""
        return (self.microseconds - earlier.microseconds) / max(1, self.calls - earlier.calls)
