"""What one person takes of an instance, of PostgreSQL and of Redis: the input of docs/capacity.md.

Only where both servers were started here, since their processor time is read from the system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
from redis import Redis

from bench import data, purchases
from bench.data import Item
from bench.growth_calls import ASKERS
from bench.load import measure
from bench.results import Figure
from bench.rig import Plan, Server, Stores
from bench.rows import bearer, get_request, new_token
from bench.socket_load import Listener
from dev.make_token import make_token

PEOPLE = 500
"""Who connect, and stay connected while memory is measured."""


@dataclass(frozen=True)
class Used:
    """Microseconds of processor time that one of something took."""

    name: str
    instance: float
    postgres: float
    redis: float

    def text(self) -> str:
        """As a line of the table."""
        cells = (self.instance, self.postgres, self.redis)
        return f"  {self.name:<42}" + "".join(f"{cell:>12,.0f}" for cell in cells)

    def figures(self) -> list[Figure]:
        """What is kept."""
        parts = {"the instance": self.instance, "PostgreSQL": self.postgres, "Redis": self.redis}
        return [
            Figure(f"{self.name}: processor time of {part}", "µs", [used], higher_is_better=False)
            for part, used in parts.items()
        ]


@dataclass(frozen=True)
class Costs:
    """Reads the processor time of one instance and its servers."""

    plan: Plan
    service: Server
    postgres: psutil.Process
    redis: psutil.Process

    @classmethod
    def of(cls, plan: Plan, service: Server, stores: Stores) -> Costs:
        """`stores`: started here. Raises psycopg2.Error, RedisError."""
        with Redis.from_url(stores.redis_url) as redis:
            valkey = psutil.Process(redis.info("server")["process_id"])
        return cls(plan, service, postgres_process(stores), valkey)

    def of_each(self, name: str, act: Callable[[], int]) -> Used:
        """What each took of the things that `act` does; it returns how many it did."""
        before = self._read()
        done = act()
        used = [after - then for after, then in zip(self._read(), before, strict=True)]
        return Used(name, *(seconds / done * 1e6 for seconds in used))

    def _read(self) -> tuple[float, float, float]:
        redis = self.redis.cpu_times()
        return (
            self.service.cpu_seconds(),
            cpu_seconds_with_ended(self.postgres),
            redis.user + redis.system,
        )


def table(
    plan: Plan, service: Server, stores: Stores, seats: Iterator[Item], event_id: str
) -> list[Figure]:
    """Measure a purchase, a poll and a connection, and print them. Raises LoadFailed,
    psycopg2.Error, RedisError."""
    costs = Costs.of(plan, service, stores)
    print(
        f"  {'Microseconds of processor time':<42}{'instance':>12}{'PostgreSQL':>12}{'Redis':>12}"
    )
    used = [
        costs.of_each("a purchase", lambda: _buy(plan, service, seats)),
        costs.of_each("GET /queue/status, again and again", lambda: _poll(plan, service, event_id)),
    ]
    with Redis.from_url(stores.redis_url) as redis, ExitStack() as connected:
        before = redis.info("memory")["used_memory"]
        used.append(
            costs.of_each(
                "a new person's WebSocket, and join-queue",
                lambda: _connect(plan, service, event_id, connected),
            )
        )
        bytes_each = (redis.info("memory")["used_memory"] - before) / PEOPLE
    print(*(each.text() for each in used), sep="\n")
    print(f"  Redis takes {bytes_each:,.0f} bytes for each person who is connected", flush=True)
    figures = [figure for each in used for figure in each.figures()]
    return [*figures, Figure("Redis' memory for a connected person", "bytes", [bytes_each], False)]


def _buy(plan: Plan, service: Server, seats: Iterator[Item]) -> int:
    begun = []

    def steps() -> Iterator[purchases.Purchase]:
        for seat in seats:
            begun.append(seat)
            yield purchases.purchase(seat, plan.jwt_secret, plan.service_token)

    purchases.buy([service.port], steps(), plan.seconds, None)
    return len(begun)


def _poll(plan: Plan, service: Server, event_id: str) -> int:
    path = f"/api/v1/queue/status/{event_id}"
    tokens = (make_token(user, "user", plan.jwt_secret) for user in ASKERS)
    polls = [get_request(path, bearer(token)) for token in tokens]
    return measure([service.port], iter(polls * 10), plan.seconds).statuses.total()


def _connect(plan: Plan, service: Server, event_id: str, connected: ExitStack) -> int:
    for _ in range(PEOPLE):
        token = new_token(plan.jwt_secret)
        listener = Listener(service.port, token, event_id, join="join-queue")
        connected.enter_context(listener.socket)
    return PEOPLE


def postgres_process(stores: Stores) -> psutil.Process:
    """The server's first process, which is on this machine. Raises psycopg2.Error."""
    with data.autocommit(stores.database_url) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(backend,)] = cursor.fetchall()
        server = psutil.Process(backend).parent()
    assert server is not None
    return server


def cpu_seconds_with_ended(process: psutil.Process) -> float:
    """The processor time of a process and its children, with those that have ended."""
    own = process.cpu_times()
    running = [child.cpu_times() for child in process.children()]
    seconds: float = own.user + own.system + own.children_user + own.children_system
    return seconds + sum(child.user + child.system for child in running)
