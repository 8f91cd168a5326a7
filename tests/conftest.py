"""The servers, the database and the instances that the tests share."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import Servers
from dev.servers import servers as run_servers
from tests.support import factories, nginx
from tests.support.browser import Browser, run_browser
from tests.support.databases import connected, new_database
from tests.support.factories import Event
from tests.support.service import JWT_SECRET, Service, run_service
from ticket_service.stores import schema


def pytest_configure() -> None:
    """Treat SIGTERM like Ctrl-C, so that the servers do not outlive the tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# The slowest files, the slowest first. They run first, so that none is left for one worker alone.
LONG = (
    "test_slow_clients.py",
    "test_waiting_room_crowd.py",
    "test_without_redis.py",
    "test_waiting_dialogs.py",
    "test_pools.py",
    "test_redis_states.py",
    "test_races.py",
    "test_deadlines.py",
    "test_newcomers.py",
    "test_rolling_restart.py",
    "test_longest_stay.py",
    "test_presence.py",
    "test_status_news.py",
    "test_expiry_races.py",
    "test_dev.py",
    "test_loops.py",
    "test_schemathesis.py",
    "test_smuggling.py",
    "test_any_messages.py",
    "test_hostile_clients.py",
    "test_injection.py",
    "test_silence.py",
    "test_failover.py",
    "test_expiry_locks.py",
    "test_repeats.py",
    "test_limits.py",
    "test_event_status.py",
    "test_catch_up.py",
    "test_schema_in_use.py",
    "test_neighbours.py",
    "test_told_once.py",
    "test_expiry_of_many.py",
    "test_waiting_time.py",
    "test_weather_instances.py",
    "test_weather_scripts.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files in LONG first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which programs, that only a system's package has, the tests did without."""
    if nginx.PROGRAM is None:
        terminalreporter.write_line("Without nginx: the tests behind it were skipped.")


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A temporary folder for logs and server data, with a short path that PostgreSQL can use."""
    with tempfile.TemporaryDirectory(prefix="ticket-tests-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def servers(folder: Path) -> Iterator[Servers]:
    """PostgreSQL and Valkey, started or named by the environment, with a new database.

    They are named in the environment for the instances.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ENVIRONMENT", "development")
        environment.setenv("JWT_SECRET", JWT_SECRET)
        environment.setenv("DB_SCHEMA", "public")
        environment.setenv("DRAIN_SECONDS", "0")
        with run_servers(folder) as given, new_database(given.database_url) as database_url:
            schema.migrate(database_url, "public")
            environment.setenv("DATABASE_URL", database_url)
            environment.setenv("REDIS_URL", given.redis_url)
            yield Servers(database_url, given.redis_url)


@pytest.fixture
def database(servers: Servers) -> Iterator[Connection]:
    """A connection in autocommit mode, to prepare and to check data."""
    with connected(servers.database_url) as connection:
        yield connection


@pytest.fixture
def redis(servers: Servers) -> Iterator[Redis]:
    """A client of the instances' Redis."""
    with Redis.from_url(servers.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def make_event(database: Connection) -> Callable[..., Event]:
    """`factories.make_event` on the tests' database."""
    return partial(factories.make_event, database)


@pytest.fixture(scope="session")
def service(servers: Servers, folder: Path) -> Iterator[Service]:
    """An instance with default settings, which all tests share that do not need their own."""
    with run_service(folder) as instance:
        yield instance


@pytest.fixture(scope="session")
def other_service(servers: Servers, folder: Path) -> Iterator[Service]:
    """A second instance, for what instances tell each other."""
    with run_service(folder) as instance:
        yield instance


@pytest.fixture
def start_service(servers: Servers, folder: Path) -> Iterator[Callable[..., Service]]:
    """Starts more instances: `start_service(HOLD_TTL_SECONDS="1")`. They end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(run_service(folder, **options))


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A Node.js process with Socket.IO clients of browsers."""
    with run_browser() as process:
        yield process
