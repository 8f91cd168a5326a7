"""What the tests of this folder share: an instance behind proxies, with servers of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dev.servers import valkey
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import Instance, behind_proxies, eventually, subfolder
from tests.support.factories import Event, section, ticket
from tests.support.internal import TOKEN

database_url = own_database_url


database = balanced_database


@pytest.fixture(scope="module")
def redis_url(folder: Path) -> Iterator[str]:
    """A Valkey that may be flushed."""
    with valkey(subfolder(folder, f"valkey-{uuid4().hex[:8]}")) as url:
        yield url


@pytest.fixture(scope="module")
def shared(database_url: str, redis_url: str, folder: Path) -> Iterator[Instance]:
    with behind_proxies(database_url, redis_url, folder, INTERNAL_API_TOKEN=TOKEN) as instance:
        yield instance


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The instance that survives all of this: after each test it must be well again by itself."""
    redis = shared.redis.upstream
    yield shared
    shared.redis.upstream = redis
    shared.redis.restore()
    shared.postgres.restore()
    eventually(lambda: shared.state() == (200, "ok"))


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])
