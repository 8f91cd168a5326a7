"""What an instance, PostgreSQL and Redis use, measured at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.request import urlopen

import psycopg2
from psycopg2.extensions import connection as Connection
from redis import Redis

from bench.repeated import repeated
from bench.rig import Server, Stores
from soak import GREENLETS
from soak.flatness import Quantity

MEBIBYTE = 1 << 20

WARM_UP = 300.0
"""Seconds before the samples count; a third of a shorter run."""

INTERVAL = 10.0
"""Seconds between two samples; less in a run of less than a quarter of an hour."""

QUANTITIES = [
    Quantity("memory of the worker", "MiB", share=0.05),
    Quantity("greenlets", "", share=0.05, number=30),
    Quantity("file descriptors", "", share=0.05, number=30),
    Quantity("connections to PostgreSQL", "", limit=22),
    Quantity("connections to Redis", "", limit=65),
    Quantity("keys in Redis", "", share=0.05, number=50),
    Quantity("memory of Redis", "MiB", share=0.05, number=0.5),
    Quantity("size of events, seats and ticket types", "MiB", share=0.1, number=1),
    Quantity("dead rows of them", "", share=0.25, number=5_000),
    Quantity("size of a reservation with all that belongs to it", "bytes", share=0.1),
    Quantity("dead rows for each reservation", "", number=0.1),
]
"""What must be flat. The limits are those of docs/architecture.md, "Connections of one
instance"."""

_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type LIKE 'client%'
"""

_TABLES = """
    SELECT sum(pg_total_relation_size(relid)), sum(n_dead_tup)
    FROM pg_stat_user_tables WHERE relname = ANY (%s)
"""

_FIXED = ["events", "seats", "ticket_types"]
"""Tables whose rows only change."""

_GROWING = ["reservations", "reservation_items", "ticket_service_payments"]
"""Tables that get new rows with each sale."""


class Probe:
    """Measures. For one thread."""

    def __init__(self, server: Server, connection: Connection, redis: Redis) -> None:
        self._server = server
        self._connection = connection
        self._redis = redis
        [self._worker] = server.process.children()

    def sample(self) -> Mapping[str, float]:
        """By the names of QUANTITIES. Raises OSError, psutil.Error, psycopg2.Error, RedisError."""
        with urlopen(f"http://127.0.0.1:{self._server.port}{GREENLETS}", timeout=60) as answer:
            greenlets = int(answer.read())
        redis = self._redis.info()
        fixed, fixed_dead = self._row(_TABLES, [_FIXED])
        growing, growing_dead = self._row(_TABLES, [_GROWING])
        [reservations] = self._row("SELECT count(*) FROM reservations")
        [connections] = self._row(_CONNECTIONS)
        return dict(
            zip(
                (quantity.name for quantity in QUANTITIES),
                (
                    self._worker.memory_info().rss / MEBIBYTE,
                    greenlets,
                    self._worker.num_fds(),
                    connections,
                    redis["connected_clients"] - 1,  # without ours
                    self._redis.dbsize(),
                    redis["used_memory"] / MEBIBYTE,
                    fixed / MEBIBYTE,
                    fixed_dead,
                    growing / reservations,
                    growing_dead / reservations,
                ),
                strict=True,
            )
        )

    def _row(self, statement: str, values: list[object] | None = None) -> list[float]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            [row] = cursor.fetchall()
            return [float(number) for number in row]


@contextmanager
def probe(server: Server, stores: Stores) -> Iterator[Probe]:
    """A probe of this instance and its stores. Raises psycopg2.Error, RedisError."""
    connection = psycopg2.connect(stores.database_url)
    connection.autocommit = True
    try:
        with Redis.from_url(stores.redis_url) as redis:
            yield Probe(server, connection, redis)
    finally:
        connection.close()


@contextmanager
def sampled(measuring: Probe, seconds: float) -> Iterator[list[Mapping[str, float]]]:
    """The samples that are taken while the block runs, for so many seconds, without those of the
    warm-up. Raises what `sample` raises when the block ends."""
    samples: list[Mapping[str, float]] = []
    warm_up = min(WARM_UP, seconds / 3)

    def measure() -> None:
        with suppress(TimeoutError):  # all processes may have been stopped meanwhile
            samples.append(measuring.sample())

    with repeated(measure, min(INTERVAL, (seconds - warm_up) / 60), after=warm_up):
        yield samples
