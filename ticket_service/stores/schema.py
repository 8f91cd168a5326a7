"""Adds to the database what this service needs and the schema lacks.

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

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection

from ticket_service.stores.schema_needs import INDEXES, Index, is_indexed, missing, run

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
        if exists and not missing(connection, schema) and _knows_expired(connection):
            return
        with _migration_lock(connection):
            if not exists:
                name = sql.Identifier(schema)
                run(connection, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
            for path in sorted(MIGRATIONS.glob("*.sql")):
                _try(run, connection, path.read_text(encoding="utf-8"))
            for index in INDEXES:
                _try(_build_index, connection, index)
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
        lacks = missing(connection, schema)
    if lacks:
        raise SchemaIncomplete(f"schema {schema} lacks: " + "; ".join(lacks))


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
    while run(connection, "SELECT pg_try_advisory_lock(%s)", MIGRATION_LOCK) != [(True,)]:
        if time.monotonic() > deadline:
            raise SchemaIncomplete("another instance is still migrating the database")
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            run(connection, "SELECT pg_advisory_unlock(%s)", MIGRATION_LOCK)


@contextmanager
def _long_lock_timeout(connection: Connection) -> Iterator[None]:
    """Wait longer for locks, in a step that no writer waits for."""
    run(connection, f"SET lock_timeout = {INDEX_TIMEOUT_MS}")
    try:
        yield
    finally:
        if not connection.closed:
            run(connection, "RESET lock_timeout")


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


def _exists(connection: Connection, schema: str) -> bool:
    return bool(run(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %s", schema))


def _build_index(connection: Connection, index: Index) -> None:
    """Build an index if it is missing. Writers need not wait."""
    if is_indexed(connection, index):
        return
    with _long_lock_timeout(connection):
        if run(connection, _INVALID_INDEX_SQL, index.name):
            run(connection, f"DROP INDEX CONCURRENTLY {index.name}")
        run(connection, f"CREATE INDEX CONCURRENTLY {index.definition}")
        if index.gin:
            # ANALYZE would take seconds for statistics that no plan needs.
            run(connection, f"ALTER INDEX {index.name} ALTER COLUMN 1 SET STATISTICS 0")


def _knows_expired(connection: Connection) -> bool:
    """Whether every CHECK on reservations.status allows 'expired' and is validated."""
    return all(wide and read for _, wide, read in run(connection, _STATUS_CHECKS_SQL))


def _widen_status_checks(connection: Connection) -> None:
    """Make every CHECK on reservations.status allow 'expired'. Raises _TableInUse."""
    for name, wide, read in run(connection, _STATUS_CHECKS_SQL):
        constraint = sql.Identifier(name)
        if not wide:
            _check_free(connection)
            run(connection, sql.SQL(_WIDEN_SQL).format(name=constraint))
        if not wide or not read:
            validate = sql.SQL("ALTER TABLE reservations VALIDATE CONSTRAINT {}")
            with _long_lock_timeout(connection):
                run(connection, validate.format(constraint))


def _check_free(connection: Connection) -> None:
    """Raise _TableInUse if a transaction holds the table of reservations for LONG.

    Our lock would wait for that transaction, and every writer for our lock, at each start again.
    """
    before = run(connection, _HOLDERS_SQL)
    time.sleep(LONG)
    if set(before) & set(run(connection, _HOLDERS_SQL)):
        raise _TableInUse
