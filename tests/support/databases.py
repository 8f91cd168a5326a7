"""Databases that are made for tests, and fixtures for modules that want one of their own.

Such a module says so in two lines, and its tests and `make_event` use that database:

    database_url = own_database_url
    database = balanced_database
"""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.books import check_books
from ticket_service.stores import schema


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Create an empty database on a server and give its URL; drop it in the end."""
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
    """A new database that has all the service needs, for tests that must be alone in it."""
    with new_database(server_url) as url:
        schema.migrate(url, "public")
        yield url


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """A connection to arrange and to check with; every statement commits at once."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture(scope="module")
def own_database_url(servers: Servers) -> Iterator[str]:
    """A database that only the module's tests and their instances use."""
    with migrated_database(servers.database_url) as url:
        yield url


@pytest.fixture
def balanced_database(database_url: str) -> Iterator[Connection]:
    """A connection to arrange and to check with; after each test the books must balance."""
    with connected(database_url) as connection:
        yield connection
        check_books(connection)
