"""The database schema: what this service needs, how to see what is missing, how to add it.

The tables belong to several programs (the wire contract, section 4), so everything here is
additive, and nothing is touched when nothing is missing: a start in the middle of a sale takes no
table lock.
"""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

MIGRATIONS = Path(__file__).parent.parent / "migrations"

# One start migrates, the others wait here. The number only has to differ from other programs'.
MIGRATION_LOCK = 0x7469636B6574

LOCK_TIMEOUT_MS = 10_000

COLUMNS = {
    "events": "id title description venue address event_date sale_start_date sale_end_date"
    " poster_image_url status seat_layout_id artist_name created_at updated_at",
    "ticket_types": "id event_id name price total_quantity available_quantity description",
    "seat_layouts": "id name description total_seats layout_config",
    "seats": "id event_id section row_number seat_number seat_label price status",
    "reservations": "id user_id event_id reservation_number total_amount status payment_method"
    " payment_status expires_at created_at",
    "reservation_items": "id reservation_id ticket_type_id seat_id quantity unit_price subtotal",
    "keyword_mappings": "korean english",
    "ticket_service_payments": "payment_id status reservation_id payment_method amount verdict",
}

INDEXES = (
    ("events", "sale_start_date, id"),
    ("events", "status, sale_start_date"),
    ("events", "status, sale_end_date"),
    ("ticket_types", "event_id"),
    ("seats", "event_id, section, row_number, seat_number"),
    ("reservations", "user_id, created_at"),
    ("reservations", "status, expires_at"),
    ("reservation_items", "reservation_id"),
    ("reservation_items", "ticket_type_id"),
    ("reservation_items", "seat_id"),
)

_INDEXES_SQL = """
    SELECT i.indrelid::regclass::text, (
        SELECT string_agg(coalesce(a.attname, '?'), ', ' ORDER BY k.position)
        FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, position)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    )
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid AND i.indpred IS NULL
"""

_NARROW_STATUS_CHECK_SQL = """
    SELECT c.conname
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
    WHERE c.conrelid = to_regclass('reservations') AND c.contype = 'c' AND a.attname = 'status'
      AND cardinality(c.conkey) = 1
      AND pg_get_constraintdef(c.oid) LIKE '%''pending''%'
      AND pg_get_constraintdef(c.oid) NOT LIKE '%''expired''%'
"""

log = logging.getLogger(__name__)


class SchemaIncomplete(Exception):
    """The database lacks something this service needs; the message lists all of it."""


def migrate(database_url: str, schema: str) -> None:
    """Bring the schema to what this service needs; safe to call twice and from many processes.

    Raises psycopg2.Error where the database refuses (gone, no right, a table lock not had within
    LOCK_TIMEOUT_MS); the files that were applied before stay, and the next try goes on.
    """
    connection = _connect(database_url)
    try:
        exists = _exists(connection, schema)
        if exists and not _missing(connection, schema) and not _narrow(connection, schema):
            return
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            if not exists:
                cursor.execute(
                    sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
                )
        # Each file by itself, so that no table stays locked while another's index is built.
        for path in sorted(MIGRATIONS.glob("*.sql")):
            with connection, connection.cursor() as cursor:
                _use(connection, schema)
                cursor.execute(path.read_text(encoding="utf-8"))
        log.info("migrated", extra={"schema": schema})
    finally:
        connection.close()


def check(database_url: str, schema: str) -> None:
    """Raise SchemaIncomplete, naming everything that is missing, unless the schema suffices.

    A CHECK that knows no status 'expired' does: holds that ran out are then called cancelled.
    """
    connection = _connect(database_url)
    try:
        if not _exists(connection, schema):
            raise SchemaIncomplete(f"schema {schema} does not exist")
        missing = _missing(connection, schema)
    finally:
        connection.close()
    if missing:
        raise SchemaIncomplete(f"schema {schema} lacks: " + "; ".join(missing))


def _connect(database_url: str) -> Connection:
    return psycopg2.connect(
        database_url,
        connect_timeout=10,
        application_name="ticket-service",
        options=f"-c lock_timeout={LOCK_TIMEOUT_MS}",
    )


def _exists(connection: Connection, schema: str) -> bool:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,))
        return cursor.fetchone() is not None


def _use(connection: Connection, schema: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))


def _missing(connection: Connection, schema: str) -> list[str]:
    """What the schema lacks, each as a phrase such as ``table seats`` or ``column seats.price``."""
    with connection, connection.cursor() as cursor:
        _use(connection, schema)
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = %s",
            (schema,),
        )
        columns: dict[str, set[str]] = {}
        for table, column in cursor.fetchall():
            columns.setdefault(table, set()).add(column)
        cursor.execute(_INDEXES_SQL)
        indexes = [(table, f"{names}, ") for table, names in cursor.fetchall() if names]

    missing = [f"table {table}" for table in COLUMNS if table not in columns]
    for table in columns.keys() & COLUMNS.keys():
        absent = set(COLUMNS[table].split()) - columns[table]
        missing += [f"column {table}.{column}" for column in sorted(absent)]
    for table, names in INDEXES:
        if table in columns and not any(
            on == table and having.startswith(f"{names}, ") for on, having in indexes
        ):
            missing.append(f"index on {table} ({names})")
    return missing


def _narrow(connection: Connection, schema: str) -> bool:
    """Whether a CHECK on reservations.status knows no 'expired'."""
    with connection, connection.cursor() as cursor:
        _use(connection, schema)
        cursor.execute(_NARROW_STATUS_CHECK_SQL)
        return cursor.fetchone() is not None
