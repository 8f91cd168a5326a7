"""What the tables and Redis say when a run is over, as a file for the checker."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from chaos.target import Target
from ticket_service.services.audit import RULES

FILE = "tables.json"

_QUERIES = {
    "seats": "SELECT id::text, event_id::text AS event, status, {updated_at} FROM seats",
    "ticket_types": """
        SELECT id::text, event_id::text AS event, total_quantity AS total,
               available_quantity AS available FROM ticket_types
    """,
    "reservations": """
        SELECT id::text, user_id::text AS person, event_id::text AS event, status, payment_status,
               {created_at}, {expires_at}, {updated_at} FROM reservations
    """,
    "items": """
        SELECT reservation_id::text AS reservation, seat_id::text AS seat,
               ticket_type_id::text AS ticket_type, quantity FROM reservation_items
    """,
    "payments": """
        SELECT payment_id AS payment, reservation_id::text AS reservation, status, verdict
        FROM ticket_service_payments
    """,
}


_LAST_CHANGE = """
    SELECT (SELECT count(*) FROM reservations WHERE status = 'pending'),
           (SELECT extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - max(updated_at))::float
            FROM seats)
"""


def wait_until_quiet(target: Target, seconds: float, patience: float) -> None:
    """Wait until all holds have ended and no seat has changed for so many seconds, `patience` at
    most: then the checker finds what is left."""
    gives_up_at = time.monotonic() + patience
    with closing(psycopg2.connect(target.database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while time.monotonic() < gives_up_at:
                cursor.execute(_LAST_CHANGE)
                [(pending, since)] = cursor.fetchall()
                if pending == 0 and since > seconds:
                    break
                time.sleep(0.1)


def dump(target: Target, folder: Path) -> None:
    """Write `tables.json`: the tables and the faults of the books, in one snapshot."""
    with closing(psycopg2.connect(target.database_url)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        found: dict[str, Any] = {"at": time.time()}
        for name, query in _QUERIES.items():
            found[name] = _rows(connection, query)
        found["faults"] = [
            f"{rule}: {row}" for rule, query in RULES.items() for row in _faults(connection, query)
        ]
    (folder / FILE).write_text(json.dumps(found))


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    columns = {
        name: f"extract(epoch FROM {name})::float AS {name}"
        for name in ("created_at", "expires_at", "updated_at")
    }
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(query.format(**columns))
        return [dict(row) for row in cursor.fetchall()]


def _faults(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"event_id": None})
        return cursor.fetchall()
