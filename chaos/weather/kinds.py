"""All kinds of weather, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from chaos.scene import Scene
from chaos.stores import may_mount
from chaos.weather import instances, network, postgres, redis

Act = Callable[[Scene, Random], None]


@dataclass(frozen=True)
class Weather:
    """A fault. `loses`: as in `history.Fault`. `possible`: whether this machine lets us make it."""

    act: Act
    loses: str = ""
    possible: Callable[[], bool] = lambda: True


WEATHER = {
    "instance-killed": Weather(instances.killed),
    "worker-killed": Weather(instances.worker_killed),
    "instance-frozen": Weather(instances.frozen),
    "rolling-restart": Weather(instances.rolling_restart),
    "clock-off": Weather(instances.clock_off),
    "postgres-stopped": Weather(postgres.stopped),
    "postgres-connections-ended": Weather(postgres.connections_ended),
    "postgres-slow": Weather(postgres.slow),
    "postgres-answers-lost": Weather(postgres.answers_lost),
    "postgres-read-only": Weather(postgres.read_only),
    "postgres-full": Weather(postgres.full),
    "postgres-disk-full": Weather(postgres.disk_full, possible=may_mount),
    "redis-restarted-empty": Weather(redis.restarted_empty, loses="redis"),
    "redis-restarted-with-data": Weather(redis.restarted_with_data),
    "redis-flushed": Weather(redis.flushed, loses="redis"),
    "redis-slow": Weather(redis.slow),
    "redis-full": Weather(redis.full),
    "redis-read-only": Weather(redis.read_only),
    "redis-loading": Weather(redis.loading),
    "redis-moved": Weather(redis.moved),
    "split-from-redis": Weather(network.split_from_redis),
    "split-from-postgres": Weather(network.split_from_postgres),
    "split-from-both": Weather(network.split_from_both),
    "connections-cut": Weather(network.cut),
}
