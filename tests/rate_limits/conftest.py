"""Two instances with low limits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.servers import Servers
from tests.support.internal import TOKEN
from tests.support.rate_limits import LIMIT, LONG, PROXY, SEARCH_SECONDS, SEARCHES
from tests.support.service import Service, run_services


@pytest.fixture(scope="module")
def instances(servers: Servers, folder: Path) -> Iterator[list[Service]]:
    """Two instances behind a proxy. All windows but that of searches outlast the tests."""
    limit = f"{LIMIT}/{LONG}"
    with run_services(
        folder,
        2,
        HOLDS_PER_PERSON=limit,
        BAD_TOKENS_PER_ADDRESS=limit,
        SOCKETS_PER_PERSON=limit,
        SOCKETS_PER_ADDRESS=limit,
        SEARCHES_PER_ADDRESS=f"{SEARCHES} per {SEARCH_SECONDS} seconds",
        TRUSTED_PROXIES=f"{PROXY}, 11.255.0.0/16",
        INTERNAL_API_TOKEN=TOKEN,
    ) as started:
        yield started


@pytest.fixture
def instance(instances: list[Service]) -> Service:
    return instances[0]
