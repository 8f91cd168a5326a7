"""What the tests of this folder share: an event of which nobody books anything."""

from collections.abc import Callable, Iterator

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.factories import Event, section, ticket


@pytest.fixture
def event(make_event: Callable[..., Event], database: Connection) -> Iterator[Event]:
    """An event that can be booked; in the end nobody must have booked anything of it."""
    event = make_event(sections=[section(seats=10)], tickets=[ticket(total=100)])
    yield event
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM reservations WHERE event_id = %s", (event.id,))
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT DISTINCT status FROM seats WHERE event_id = %s", (event.id,))
        assert cursor.fetchall() == [("available",)]
        cursor.execute(
            "SELECT available_quantity FROM ticket_types WHERE event_id = %s", (event.id,)
        )
        assert cursor.fetchall() == [(100,)]
