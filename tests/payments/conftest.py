"""What the tests of this folder share: two instances with a database of their own."""

import pytest
from redis import Redis

from tests.support.databases import balanced_database, own_database_url, own_instances
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.service import Service
from ticket_service.stores import keys

database_url = own_database_url
"""A database in which only the instances of these tests end holds."""


database = balanced_database


instances = own_instances


@pytest.fixture
def service(instances: list[Service]) -> Service:
    return instances[0]


@pytest.fixture
def event(make_event: MakeEvent, redis: Redis) -> Event:
    """An event whose seats no instance reads again by itself: it tells what it was told, or fails
    to."""
    made = make_event(sections=[section(seats=10)], tickets=[ticket(total=100)])
    redis.set(keys.seat_reading(made.id), "the test", px=60_000)
    return made
