"""The database schema: what this service needs, what of it is missing, and how to add that.

The tables belong to several programs, which write to them while we migrate. So we only add, and
change nothing if nothing is missing. No step makes writers wait for long: indexes are built
CONCURRENTLY, and a table is locked only if no transaction has held it for long, and with a lock
time-out of a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection

MIGRATIONS = Path(__file__).parents[2] / "migrations"

# One instance migrates, and others that start wait. Any number that no other program uses will do.
MIGRATION_LOCK = 0x7469636B6574

LOCK_TIMEOUT_MS = 1_000
"""For a lock that makes writers wait."""

INDEX_TIMEOUT_MS = 60_000
"""For a lock that no writer waits for. CREATE INDEX CONCURRENTLY, for example, waits for all older
transactions that hold the table."""

TRIES = 5
PAUSE = 1.0
"""Seconds before a step is tried again. The pause doubles after each try."""

WAIT_FOR_ANOTHER = 300.0
"""Seconds to wait for another instance that migrates before this start fails."""

LONG = 0.5
"""Seconds. While a transaction has held a table for longer, we do not try to lock the table."""

COLUMNS = {
    "events": "id title description venue address event_date sale_start_date sale_end_date"
    " poster_image_url status seat_layout_id artist_name created_at updated_at",
    "ticket_types": "id event_id name price total_quantity available_quantity description",
    "seat_layouts": "id name description total_seats layout_config",
    "seats": "id event_id section row_number seat_number seat_label price status",
    "reservations": "id user_id event_id reservation_number total_amount status payment_method"
    " payment_status expires_at created_at updated_at",
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
    ("ticket_service_payments", "reservation_id"),
)
"""Table and columns. Any valid index that begins with the columns will do, whatever its name: a
second one would slow down every write."""

_INDEXES_SQL = """
    SELECT i.indrelid::regclass::text, (
        SELECT string_agg(coalesce(a.attname, '?'), ', ' ORDER BY k.position)
        FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, position)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    )
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid AND i.indpred IS NULL
"""

# An index that is left of a CREATE INDEX CONCURRENTLY that failed, or that is still being built.
_INVALID_INDEX_SQL = """
    SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(quote_ident(%s)) AND NOT indisvalid
"""

# The CHECKs that list the statuses of a reservation: whether each allows 'expired', and whether it
# is validated.
_STATUS_CHECKS_SQL = """
    SELECT c.conname, pg_get_constraintdef(c.oid) LIKE '%''expired''%', c.convalidated
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
    WHERE c.conrelid = to_regclass('reservations') AND c.contype = 'c' AND a.attname = 'status'
      AND cardinality(c.conkey) = 1
      AND pg_get_constraintdef(c.oid) LIKE '%''pending''%'
"""

# NOT VALID: VALIDATE CONSTRAINT reads the rows later, without a lock that makes writers wait.
_WIDEN_SQL = """
    ALTER TABLE reservations DROP CONSTRAINT {name}, ADD CONSTRAINT {name}
    CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired')) NOT VALID
"""

_HOLDERS_SQL = """
    SELECT virtualtransaction FROM pg_locks
    WHERE relation = to_regclass('reservations') AND granted AND pid <> pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

log = logging.getLogger(__name__)


class SchemaIncomplete(Exception):
    """The database lacks something that this service needs. The message says what."""


class _TableInUse(Exception):
    """A transaction has held the table for so long that writers would wait behind our lock."""


def migrate(database_url: str, schema: str) -> None:
    """Add to the schema what this service needs. It is safe to call this twice, or in parallel.

    Raises SchemaIncomplete if another instance migrates for longer than WAIT_FOR_ANOTHER, and
    psycopg2.Error if the database refuses: it is away, a privilege is missing, or a lock was not
    available in TRIES tries. What was added before stays, and the next start continues. If a CHECK
    cannot be widened, the service does without, and the next start tries again.
    """
    with _connected(database_url, schema) as connection:
        exists = _exists(connection, schema)
        if exists and not _missing(connection, schema) and _knows_expired(connection):
            return
        with _migration_lock(connection):
            if not exists:
                name = sql.Identifier(schema)
                _run(connection, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
            for path in sorted(MIGRATIONS.glob("*.sql")):
                _try(_run, connection, path.read_text(encoding="utf-8"))
            for table, columns in INDEXES:
                _try(_build_index, connection, table, columns)
            try:
                _try(_widen_status_checks, connection)
            except (errors.LockNotAvailable, _TableInUse):
                log.warning("reservations.status does not know expired yet: the table is in use")
        log.info("migrated", extra={"schema": schema})


def check(database_url: str, schema: str) -> None:
    """Raise SchemaIncomplete, which names everything that is missing, unless nothing is.

    A CHECK that does not allow the status 'expired' is accepted: expired holds are then cancelled.
    """
    with _connected(database_url, schema) as connection:
        if not _exists(connection, schema):
            raise SchemaIncomplete(f"schema {schema} does not exist")
        missing = _missing(connection, schema)
    if missing:
        raise SchemaIncomplete(f"schema {schema} lacks: " + "; ".join(missing))


@contextmanager
def _connected(database_url: str, schema: str) -> Iterator[Connection]:
    """Connect in autocommit mode."""
    connection = psycopg2.connect(
        database_url,
        connect_timeout=10,
        application_name="ticket-service",
        options=f"-c search_path={schema} -c lock_timeout={LOCK_TIMEOUT_MS}",
    )
    connection.autocommit = True
    with closing(connection):
        yield connection


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """Keep other instances from migrating. Raises SchemaIncomplete.

    It polls instead of waiting for the lock, since CREATE INDEX CONCURRENTLY waits for all
    transactions, also those that wait.
    """
    deadline = time.monotonic() + WAIT_FOR_ANOTHER
    while _run(connection, "SELECT pg_try_advisory_lock(%s)", MIGRATION_LOCK) != [(True,)]:
        if time.monotonic() > deadline:
            raise SchemaIncomplete("another instance is still migrating the database")
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            _run(connection, "SELECT pg_advisory_unlock(%s)", MIGRATION_LOCK)


@contextmanager
def _long_lock_timeout(connection: Connection) -> Iterator[None]:
    """Wait longer for locks, in a step that no writer waits for."""
    _run(connection, f"SET lock_timeout = {INDEX_TIMEOUT_MS}")
    try:
        yield
    finally:
        if not connection.closed:
            _run(connection, "RESET lock_timeout")


def _try(step: Callable[..., object], *arguments: object) -> None:
    """Run a step, and after a pause again if a lock was not available. Raises what the last try
    raised."""
    for number in range(1, TRIES):
        try:
            step(*arguments)
        except (errors.LockNotAvailable, errors.DeadlockDetected, _TableInUse):
            time.sleep(PAUSE * 2 ** (number - 1))
        else:
            return
    step(*arguments)


def _run(
    connection: Connection, statement: str | sql.Composed, *parameters: object
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def _exists(connection: Connection, schema: str) -> bool:
    return bool(_run(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %s", schema))


def _missing(connection: Connection, schema: str) -> list[str]:
    """Return what the schema lacks, as phrases such as ``table seats``, ``column seats.price``."""
    columns: dict[str, set[str]] = {}
    for table, column in _run(
        connection,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
        schema,
    ):
        columns.setdefault(table, set()).add(column)
    missing = [f"table {table}" for table in COLUMNS if table not in columns]
    for table in columns.keys() & COLUMNS.keys():
        absent = set(COLUMNS[table].split()) - columns[table]
        missing += [f"column {table}.{column}" for column in sorted(absent)]
    there = _run(connection, _INDEXES_SQL)
    return missing + [
        f"index on {table} ({names})"
        for table, names in INDEXES
        if table in columns and not _is_indexed(there, table, names)
    ]


def _is_indexed(indexes: list[tuple[Any, ...]], table: str, columns: str) -> bool:
    return any(
        on == table and names and f"{names}, ".startswith(f"{columns}, ") for on, names in indexes
    )


def _build_index(connection: Connection, table: str, columns: str) -> None:
    """Build an index if it is missing. Writers need not wait."""
    if _is_indexed(_run(connection, _INDEXES_SQL), table, columns):
        return
    name = f"ticket_service_{table}_{columns.replace(', ', '_')}_idx"
    with _long_lock_timeout(connection):
        if _run(connection, _INVALID_INDEX_SQL, name):
            _run(connection, f"DROP INDEX CONCURRENTLY {name}")
        _run(connection, f"CREATE INDEX CONCURRENTLY {name} ON {table} ({columns})")


def _knows_expired(connection: Connection) -> bool:
    """Whether every CHECK on reservations.status allows 'expired' and is validated."""
    return all(wide and read for _, wide, read in _run(connection, _STATUS_CHECKS_SQL))


def _widen_status_checks(connection: Connection) -> None:
    """Make every CHECK on reservations.status allow 'expired'. Raises _TableInUse."""
    for name, wide, read in _run(connection, _STATUS_CHECKS_SQL):
        constraint = sql.Identifier(name)
        if not wide:
            _check_free(connection)
            _run(connection, sql.SQL(_WIDEN_SQL).format(name=constraint))
        if not wide or not read:
            validate = sql.SQL("ALTER TABLE reservations VALIDATE CONSTRAINT {}")
            with _long_lock_timeout(connection):
                _run(connection, validate.format(constraint))


def _check_free(connection: Connection) -> None:
    """Raise _TableInUse if a transaction holds the table of reservations for LONG.

    Our lock would wait for that transaction, and every writer for our lock, at each start again.
    """
    before = _run(connection, _HOLDERS_SQL)
    time.sleep(LONG)
    if set(before) & set(_run(connection, _HOLDERS_SQL)):
        raise _TableInUse
