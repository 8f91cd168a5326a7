"""What the tests of this folder share: three instances whose holds last a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import balanced_database, own_database_url
from tests.support.internal import TOKEN
from tests.support.service import Service, run_services

database_url = own_database_url
"""A database in which only the instances of these tests end holds."""


database = balanced_database


@pytest.fixture(scope="module")
def instances(database_url: str, folder: Path) -> Iterator[list[Service]]:
    """Three, whose holds last a second."""
    with run_services(
        folder, 3, DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN, HOLD_TTL_SECONDS="1"
    ) as started:
        yield started
