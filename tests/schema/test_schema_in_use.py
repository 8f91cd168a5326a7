"""The migrations on a database that others use at the same time."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.workspace import ROOT
from tests.support.schemas import (
    ALTER,
    NEW_CHECK,
    OLD_CHECK,
    SEAT_INDEX,
    TABLES,
    catalogue,
    check_needed_indexes,
    fill,
    run,
)
from tests.support.wire import check_soon
from ticket_service.stores import schema

INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"

WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'ticket-service'
      AND wait_event_type = 'Lock'
"""


def test_with_nothing_missing_a_start_waits_for_nobody_and_needs_no_rights(
    url: str, db: Connection
):
    schema.migrate(url, "public")
    run(db, f"ALTER DATABASE {db.info.dbname} SET role = pg_read_all_data")
    with closing(psycopg2.connect(url, options="-c role=none")) as sale:
        run(sale, f"LOCK TABLE {', '.join(TABLES)} IN ROW EXCLUSIVE MODE")
        started = time.monotonic()
        schema.migrate(url, "public")
        schema.check(url, "public")
        assert time.monotonic() - started < 1


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations that give up soon."""
    monkeypatch.setattr(schema, "INDEX_TIMEOUT_MS", 300)
    monkeypatch.setattr(schema, "WAIT_FOR_ANOTHER", 0.3)
    monkeypatch.setattr(schema, "TRIES", 2)
    monkeypatch.setattr(schema, "PAUSE", 0.1)


@contextmanager
def holding(url: str, lock: str) -> Iterator[None]:
    """Another program's transaction has this lock until the block ends."""
    with closing(psycopg2.connect(url)) as holder:
        run(holder, lock)
        yield


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("lock", "error"),
    [
        (
            "LOCK TABLE reservation_items IN ROW EXCLUSIVE MODE",
            psycopg2.errors.LockNotAvailable,
        ),
        (
            "LOCK TABLE reservation_items IN ACCESS EXCLUSIVE MODE",
            psycopg2.errors.LockNotAvailable,
        ),
        (f"SELECT pg_advisory_lock({schema.MIGRATION_LOCK})", schema.SchemaIncomplete),
    ],
    ids=["a sale", "a table lock", "another migration"],
)
def test_a_migration_that_cannot_have_its_lock_gives_up_and_the_next_goes_on(
    url: str, db: Connection, lock: str, error: type[Exception]
):
    schema.migrate(url, "public")
    run(db, f"DROP TABLE keyword_mappings; DROP INDEX {SEAT_INDEX}")
    with holding(url, lock), pytest.raises(error):
        schema.migrate(url, "public")
    schema.migrate(url, "public")
    schema.check(url, "public")
    check_needed_indexes(db, "public")
    assert run(db, INVALID_INDEXES) == []


@contextmanager
def writing(url: str, statement: str) -> Iterator[list[float]]:
    """Another program writes until the block ends; the seconds that each write took."""
    times: list[float] = []
    over = Event()

    def write() -> None:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            while not over.wait(0.01):
                started = time.monotonic()
                run(connection, statement)
                times.append(time.monotonic() - started)

    with ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        try:
            yield times
        finally:
            over.set()
            writer.result()


def waits_for_others(db: Connection) -> bool:
    """Whether a migration waits for a lock."""
    return run(db, WAITING) != []


def test_nobody_waits_for_an_index_that_waits_for_a_long_transaction(url: str, db: Connection):
    schema.migrate(url, "public")
    fill(db)
    run(db, f"DROP INDEX {SEAT_INDEX}")
    write = "UPDATE reservation_items SET quantity = quantity"
    with ThreadPoolExecutor() as threads:
        with holding(url, "LOCK TABLE reservation_items IN ROW EXCLUSIVE MODE"):
            migration = threads.submit(schema.migrate, url, "public")
            check_soon(lambda: waits_for_others(db), True, seconds=5)
            with writing(url, write) as times:
                check_soon(lambda: len(times) >= 20, True, seconds=5)
            assert not migration.done()
        migration.result(timeout=10)
    schema.check(url, "public")


def test_an_index_that_was_not_finished_is_built_again(url: str, db: Connection):
    schema.migrate(url, "public")
    run(db, f"DROP INDEX {SEAT_INDEX}; SET lock_timeout = 100")
    with (
        holding(url, "LOCK TABLE reservation_items IN ROW EXCLUSIVE MODE"),
        pytest.raises(psycopg2.errors.LockNotAvailable),
    ):
        run(db, f"CREATE INDEX CONCURRENTLY {SEAT_INDEX} ON reservation_items (seat_id)")
    assert run(db, INVALID_INDEXES) == [(SEAT_INDEX,)]
    with pytest.raises(schema.SchemaIncomplete, match=r"reservation_items \(seat_id\)"):
        schema.check(url, "public")
    schema.migrate(url, "public")
    assert run(db, INVALID_INDEXES) == []
    check_needed_indexes(db, "public")


LONG_TRANSACTION = "LOCK TABLE reservations IN ROW EXCLUSIVE MODE"


@pytest.fixture
def narrow(url: str, db: Connection) -> None:
    """A CHECK that knows no 'expired', and otherwise nothing is missing."""
    schema.migrate(url, "public")
    fill(db)
    run(db, "ALTER TABLE reservations DROP CONSTRAINT reservations_status_check")
    run(db, f"{ALTER} narrow {OLD_CHECK}")


def status_check(db: Connection) -> tuple[bool, bool]:
    """Whether the CHECK knows 'expired', and whether all rows were checked."""
    [(definition, validated)] = run(
        db,
        "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE conname = 'narrow'",
    )
    return "'expired'" in definition, validated


def slowest_write_while_starts_fail(url: str) -> float:
    """Instances start again and again while a transaction has the table; seconds."""
    with (
        holding(url, LONG_TRANSACTION),
        writing(url, "UPDATE reservations SET total_amount = total_amount") as times,
    ):
        for _ in range(3):
            schema.migrate(url, "public")
            schema.check(url, "public")
    return max(times)


@pytest.mark.usefixtures("narrow", "hasty")
def test_no_writer_queues_behind_starts_that_cannot_widen_the_check(url: str, db: Connection):
    assert slowest_write_while_starts_fail(url) < schema.LOCK_TIMEOUT_MS / 2000
    assert status_check(db) == (False, True)
    schema.migrate(url, "public")
    assert status_check(db) == (True, True)


@pytest.mark.usefixtures("narrow", "hasty")
def test_writers_would_queue_behind_a_lock_that_is_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    """The negative control of the test above."""
    monkeypatch.setattr(schema, "_check_free", lambda connection: None)
    assert slowest_write_while_starts_fail(url) > schema.LOCK_TIMEOUT_MS / 2000


@pytest.mark.usefixtures("narrow")
def test_the_check_is_widened_as_soon_as_the_table_is_free(url: str, db: Connection):
    with ThreadPoolExecutor() as threads:
        with holding(url, LONG_TRANSACTION):
            migration = threads.submit(schema.migrate, url, "public")
            time.sleep(2 * schema.LONG)
            assert not migration.done()
        migration.result(timeout=10)
    assert status_check(db) == (True, True)


@pytest.mark.usefixtures("narrow")
def test_rows_that_were_not_checked_are_checked_by_the_next_start(url: str, db: Connection):
    run(
        db, f"ALTER TABLE reservations DROP CONSTRAINT narrow; {ALTER} narrow {NEW_CHECK} NOT VALID"
    )
    assert status_check(db) == (True, False)
    schema.migrate(url, "public")
    assert status_check(db) == (True, True)


MIGRATE = """
import sys
from ticket_service.stores import schema
print("ready", flush=True)
sys.stdin.readline()
schema.migrate(sys.argv[1], "ticket_schema")
schema.check(sys.argv[1], "ticket_schema")
"""


def test_ten_processes_may_migrate_at_once_and_leave_public_empty(url: str, db: Connection):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=30)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 10
    check_needed_indexes(db, "ticket_schema")
    places = {place for _, place, _, _ in catalogue(db)}
    assert places == {"ticket_schema", *(f"ticket_schema.{table}" for table in TABLES)}
