"""Checks the books by the rules of the audit."""

from psycopg2.extensions import connection as Connection

from tests.support.factories import Event
from ticket_service.services.audit import RULES


def faults(database: Connection, event: Event | None = None) -> list[str]:
    """Return every violation in one event or in the whole database, with the row."""
    parameters = {"event_id": event.id if event else None}
    found = []
    with database.cursor() as cursor:
        for rule, query in RULES.items():
            cursor.execute(query, parameters)
            found += [f"{rule}: {row}" for row in cursor.fetchall()]
    return found


def check_books(database: Connection, event: Event | None = None) -> None:
    """Fail unless the books balance. Tests may call this at any time."""
    assert faults(database, event) == []
