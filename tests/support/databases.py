"""Databases for tests, and fixtures for modules that need their own.

Such a module has two lines, and its tests and `make_event` use that database:

    database_url = own_database_url
    database = balanced_database

and may have a third, for two instances on that database:

    instances = own_instances
"""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.books import check_books
from tests.support.internal import TOKEN
from tests.support.service import Service, run_services
from ticket_service.stores import schema


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Create an empty database on a server, yield its URL, and drop it in the end."""
    name = f"ticket_test_{secrets.token_hex(6)}"
    with closing(psycopg2.connect(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
            try:
                yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
            finally:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_database(server_url: str) -> Iterator[str]:
    """Create a database with the schema of the service, for tests that must not share one."""
    with new_database(server_url) as url:
        schema.migrate(url, "public")
        yield url


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """Connect in autocommit mode, to prepare and to check data."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture(scope="module")
def own_database_url(servers: Servers) -> Iterator[str]:
    """A database that only the tests of the module use."""
    with migrated_database(servers.database_url) as url:
        yield url


@pytest.fixture(scope="module")
def own_instances(database_url: str, folder: Path) -> Iterator[list[Service]]:
    """Two instances with the module's database, to which other services may speak."""
    with run_services(folder, 2, DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN) as started:
        yield started


@pytest.fixture
def balanced_database(database_url: str) -> Iterator[Connection]:
    """A connection in autocommit mode. After each test the books must balance."""
    with connected(database_url) as connection:
        yield connection
        check_books(connection)
