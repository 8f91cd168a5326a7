"""What the tests of this folder share: an empty database for each."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.databases import new_database


@pytest.fixture
def url(servers: Servers) -> Iterator[str]:
    """An empty database."""
    with new_database(servers.database_url) as made:
        yield made


@pytest.fixture
def db(url: str) -> Iterator[Connection]:
    """A connection to it, from a place that is not in UTC."""
    with closing(psycopg2.connect(url, options="-c TimeZone=Asia/Seoul")) as connection:
        connection.autocommit = True
        yield connection
