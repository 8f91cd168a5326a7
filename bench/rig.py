"""Runs the processes of the benchmark, each on its core: servers, service, yardstick."""

from __future__ import annotations

import http.client
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2

from bench.results import Figure
from dev.processes import free_port, running, wait_until
from dev.servers import servers

GUNICORN = [sys.executable, "-m", "gunicorn"]

WIDE_OPEN = {
    "QUEUE_THRESHOLD": "10000000",
    "QUEUE_TTL_SECONDS": "3600",
    "QUEUE_MAX_STAY_SECONDS": "3600",
}
"""Settings with room inside for every buyer, since each is a new person, and under which no stay or
place in line ends during a run."""


@dataclass(frozen=True)
class Cores:
    """Which cores run what. All other processes that we start run on `ours`."""

    service: set[int]
    ours: set[int]

    @classmethod
    def split(cls) -> Cores:
        """The first core for the service, the others for us; the same one if it is the only one."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls({first}, set(others) or {first})


@dataclass(frozen=True)
class Plan:
    """What a run is to measure, and where."""

    folder: Path
    cores: Cores
    seconds: float
    """Of each measurement."""
    rounds: int
    size: float
    """The part of the large sizes (people in line, reservations, events, …) that is made."""
    jwt_secret: str
    service_token: str

    def sized(self, large: int, least: int) -> int:
        """So much of a large size."""
        return max(least, round(large * self.size))


@dataclass(frozen=True)
class Outcome:
    """What a part of a run has found, and printed."""

    figures: Sequence[Figure]
    faults: int
    """Wrong answers and stale reads."""


@dataclass(frozen=True)
class Server:
    """A server under measurement."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """The processor time it has used since its start."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in family)

    def get(self, path: str) -> http.client.HTTPResponse:
        """Send one GET and read the whole answer. Raises OSError."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response


@dataclass(frozen=True)
class Stores:
    """The two servers behind the service, with an empty database."""

    database_url: str
    redis_url: str
    pinned: bool
    """Whether both were started here, on our cores."""


def settings() -> tuple[str, str]:
    """Set the environment of all that is started. Returns the secret of tokens, and the token of
    other services."""
    secret, service_token = secrets.token_hex(32), secrets.token_hex(32)
    os.environ.update(ENVIRONMENT="development", DB_SCHEMA="public")
    os.environ.update(JWT_ALGORITHM="HS256", JWT_SECRET=secret, INTERNAL_API_TOKEN=service_token)
    return secret, service_token


@contextmanager
def stores(folder: Path) -> Iterator[Stores]:
    """PostgreSQL and Valkey: those of the environment, else our own until the block ends."""
    with servers(folder) as given, _database(given.database_url) as database_url:
        yield Stores(database_url, given.redis_url, pinned=len(given.started) == 2)


@contextmanager
def service(
    folder: Path, cores: Cores, stores: Stores, app: str = "wsgi:app", **settings: str
) -> Iterator[Server]:
    """The service with its own gunicorn settings, on the service's core.

    `settings`: environment variables, in addition to ours.
    """
    port = free_port()
    command = [*GUNICORN, "-c", "gunicorn.conf.py", app]
    env = {
        "DATABASE_URL": stores.database_url,
        "REDIS_URL": stores.redis_url,
        "PORT": str(port),
        **WIDE_OPEN,
        **settings,
    }
    with _serving(folder, f"service-{port}", command, port, "/health/ready", cores, env) as server:
        yield server


@contextmanager
def yardstick(folder: Path, cores: Cores) -> Iterator[Server]:
    """The yardstick, on the service's core, with the service's worker class and settings."""
    port = free_port()
    command = [*GUNICORN, "-c", "bench/yardstick_settings.py", "-b", f"127.0.0.1:{port}"]
    command += ["bench.yardstick:app"]
    with _serving(folder, "yardstick", command, port, "/", cores, {}) as server:
        yield server


@contextmanager
def ceiling(folder: Path, cores: Cores) -> Iterator[Server]:
    """The server with a constant answer, on the service's core."""
    port = free_port()
    command = [sys.executable, "-m", "bench.ceiling", str(port)]
    with _serving(folder, "ceiling", command, port, "/", cores, {}) as server:
        yield server


@contextmanager
def _serving(
    folder: Path,
    name: str,
    command: list[str],
    port: int,
    path: str,
    cores: Cores,
    env: Mapping[str, str],
) -> Iterator[Server]:
    log = folder / f"{name}.log"
    os.sched_setaffinity(0, cores.service)  # which the child inherits
    with running(log.with_suffix(".pid"), command, log=log, env={**os.environ, **env}) as process:
        os.sched_setaffinity(0, cores.ours)
        server = Server(port, process)
        wait_until(lambda: _answers(server, path), process, f"the {name}", log)
        yield server


def _answers(server: Server, path: str) -> bool:
    try:
        return server.get(path).status == http.client.OK
    except OSError:
        return False


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    """Create an empty database on a server and give its URL; drop it in the end."""
    name = f"ticket_bench_{secrets.token_hex(6)}"
    with closing(psycopg2.connect(server_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
