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
from tests.support import factories
from tests.support.browser import Browser, run_browser
from tests.support.databases import connected, new_database
from tests.support.factories import Event
from tests.support.service import JWT_SECRET, Service, run_service
from ticket_service.stores import schema


def pytest_configure() -> None:
    """End in order on SIGTERM too, as on Ctrl-C: the servers must not outlive the tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# Files that take long, the longest first: what began last would be waited for alone.
LONG = (
    "test_waiting_room_crowd.py",
    "test_bench.py",
    "test_newcomers.py",
    "test_pools.py",
    "test_expiry_races.py",
    "test_without_redis.py",
    "test_slow_clients.py",
    "test_rolling_restart.py",
    "test_presence.py",
    "test_silence.py",
    "test_queue_news.py",
    "test_limits.py",
    "test_redis_states.py",
    "test_kept_answers.py",
    "test_longest_stay.py",
    "test_expiry_of_many.py",
    "test_waiting_time.py",
    "test_idle_listener.py",
    "test_slow_rooms.py",
    "test_handshakes.py",
    "test_races.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A temporary folder for logs and server data; short, and open to PostgreSQL's own user."""
    with tempfile.TemporaryDirectory(prefix="ticket-tests-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def servers(folder: Path) -> Iterator[Servers]:
    """PostgreSQL and Valkey, ours or those that the environment names, with a database of our own.

    The environment then names them, so that every instance finds them.
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
    """A connection to arrange and to check with; every statement commits at once."""
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
    """The instance, with default settings, for every test that does not need one of its own."""
    with run_service(folder) as instance:
        yield instance


@pytest.fixture(scope="session")
def other_service(servers: Servers, folder: Path) -> Iterator[Service]:
    """A second one, for what one tells the other."""
    with run_service(folder) as instance:
        yield instance


@pytest.fixture
def start_service(servers: Servers, folder: Path) -> Iterator[Callable[..., Service]]:
    """Start further instances: `start_service(HOLD_TTL_SECONDS="1")`. They end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(run_service(folder, **options))


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A process of browsers' Socket.IO clients."""
    with run_browser() as process:
        yield process
