"""The migrations, on databases that are empty, made by another program, damaged, or in use."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.processes import ProcessFailed
from dev.servers import Servers
from dev.workspace import ROOT
from tests.support.databases import new_database
from tests.support.service import Service
from tests.support.wire import check_soon
from ticket_service.stores import schema

# docs/contract.md, "The shared tables"; `id` and the times are added below.
TABLES = {
    "events": "title varchar(255), description text, venue varchar(255), address text,"
    " event_date timestamp, sale_start_date timestamp, sale_end_date timestamp,"
    " poster_image_url text, status varchar(20), seat_layout_id uuid, artist_name varchar(255),"
    " pre_scaled boolean, created_by uuid",
    "ticket_types": "event_id uuid, name varchar(100), price integer, total_quantity integer,"
    " available_quantity integer, description text",
    "seat_layouts": "name varchar(100), description text, total_seats integer, layout_config jsonb",
    "seats": "event_id uuid, section varchar(50), row_number integer, seat_number integer,"
    " seat_label varchar(20), price integer, status varchar(20)",
    "reservations": "user_id uuid, event_id uuid, reservation_number varchar(50),"
    " total_amount integer, status varchar(20), payment_method varchar(50),"
    " payment_status varchar(20), expires_at timestamp",
    "reservation_items": "reservation_id uuid, ticket_type_id uuid, seat_id uuid,"
    " quantity integer, unit_price integer, subtotal integer",
    "keyword_mappings": "korean varchar(255), english varchar(255), entity_type varchar(50)",
    # This service's own.
    "ticket_service_payments": "payment_id varchar(255), status varchar(20), reservation_id uuid,"
    " payment_method varchar(50), amount integer, verdict varchar(20)",
}
OWN_TABLES = ("keyword_mappings", "ticket_service_payments")
STATUSES = ["reservations.status", "reservations.payment_status"]
UPDATED = ["seat_layouts", "events", "ticket_types", "seats", "reservations"]

KEYS = {
    "events FOREIGN KEY (seat_layout_id) REFERENCES seat_layouts(id)",
    "ticket_types FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE CASCADE",
    "seat_layouts UNIQUE (name)",
    "seats FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE CASCADE",
    "seats UNIQUE (event_id, section, row_number, seat_number)",
    "reservations FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE SET NULL",
    "reservations UNIQUE (reservation_number)",
    "reservation_items FOREIGN KEY (reservation_id) REFERENCES reservations(id) ON DELETE CASCADE",
    "reservation_items FOREIGN KEY (ticket_type_id) REFERENCES ticket_types(id)",
    "reservation_items FOREIGN KEY (seat_id) REFERENCES seats(id) ON DELETE SET NULL",
    "keyword_mappings UNIQUE (korean, english)",
    "ticket_service_payments UNIQUE (payment_id, status)",
    *(f"{table} PRIMARY KEY (id)" for table in TABLES),
}

NEEDED_INDEXES = [
    "events (sale_start_date, id",
    "events (status, sale_start_date",
    "events (status, sale_end_date",
    "ticket_types (event_id",
    "seats (event_id, section, row_number, seat_number",
    "reservations (user_id, created_at",
    "reservations (status, expires_at",
    "reservation_items (reservation_id",
    "reservation_items (ticket_type_id",
    "reservation_items (seat_id",
    "ticket_service_payments (reservation_id",
]

COLUMNS_SQL = """
    SELECT a.attrelid::regclass::text, a.attname, replace(replace(
        format_type(a.atttypid, a.atttypmod), 'character varying', 'varchar'),
        ' without time zone', '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND a.attnum > 0 AND NOT a.attisdropped
"""

KEYS_SQL = """
    SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'u')
"""

# Everything that is in a database, one row a thing: kind, where, name, definition.
CATALOGUE_SQL = """
    WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')
    SELECT 'column', a.attrelid::regclass::text, a.attname::text, concat_ws(' ',
        format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM ours JOIN pg_class c ON c.relnamespace = ours.oid AND c.relkind = 'r'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT 'constraint', k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid)
    FROM ours JOIN pg_constraint k ON k.connamespace = ours.oid
    UNION ALL
    SELECT 'index', i.indrelid::regclass::text, c.relname, pg_get_indexdef(c.oid)
    FROM ours JOIN pg_class c ON c.relnamespace = ours.oid
    JOIN pg_index i ON i.indexrelid = c.oid
    UNION ALL
    SELECT 'trigger', t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid)
    FROM ours JOIN pg_class c ON c.relnamespace = ours.oid
    JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 'function', p.pronamespace::regnamespace::text, p.proname, p.prosrc
    FROM ours JOIN pg_proc p ON p.pronamespace = ours.oid
"""

OLD_CHECK = "CHECK (status IN ('pending', 'confirmed', 'cancelled'))"
NEW_CHECK = "CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired'))"

SEAT_INDEX = "ticket_service_reservation_items_seat_id_idx"

INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"

WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'ticket-service'
      AND wait_event_type = 'Lock'
"""

USER = "'00000000-0000-4000-8000-000000000001'::uuid"


@pytest.fixture
def url(servers: Servers) -> Iterator[str]:
    """An empty database."""
    with new_database(servers.database_url) as made:
        yield made


@pytest.fixture
def db(url: str) -> Iterator[Connection]:
    """A connection to it, from a place that is not in UTC."""
    with closing(psycopg2.connect(url, options="-c TimeZone=Asia/Seoul")) as connection:
        connection.autocommit = True
        yield connection


def run(db: Connection, statement: str) -> list[tuple[Any, ...]]:
    with db.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def catalogue(db: Connection) -> set[tuple[Any, ...]]:
    return set(run(db, CATALOGUE_SQL))


def check_needed_indexes(db: Connection, schema_name: str) -> None:
    """Fail unless each index that is needed is there once, under whatever name."""
    indexes = [
        definition.split(" ON ")[1].replace(f"{schema_name}.", "").replace("USING btree ", "")
        for kind, _, _, definition in catalogue(db)
        if kind == "index"
    ]
    found = {needed: sum(i.startswith(needed) for i in indexes) for needed in NEEDED_INDEXES}
    assert found == dict.fromkeys(NEEDED_INDEXES, 1)


# An empty database


def test_an_empty_database_gets_what_the_contract_says(url: str, db: Connection):
    schema.migrate(url, "public")
    schema.check(url, "public")
    assert set(run(db, COLUMNS_SQL)) == {
        (table, *column.split())
        for table, listed in TABLES.items()
        for column in [*listed.split(", "), "id uuid", "created_at timestamp"]
    } | {(table, "updated_at", "timestamp") for table in UPDATED}
    assert {key for (key,) in run(db, KEYS_SQL)} == KEYS
    check_needed_indexes(db, "public")


def test_new_rows_have_ids_and_times_in_utc_and_known_statuses(url: str, db: Connection):
    schema.migrate(url, "public")
    fill(db)
    for table in UPDATED:
        run(db, f"UPDATE {table} SET updated_at = '2020-01-01'")
        times = "created_at, updated_at"
        ages = f"SELECT now() AT TIME ZONE 'UTC' - unnest(ARRAY[{times}]) FROM {table}"
        assert all(timedelta() <= abs(age) < timedelta(minutes=1) for (age,) in run(db, ages))
    for column in ("events.status", "seats.status", *STATUSES):
        with pytest.raises(psycopg2.errors.CheckViolation):
            run(db, "UPDATE {} SET {} = 'lost'".format(*column.split(".")))


def test_a_second_migration_adds_only_what_is_missing(url: str, db: Connection):
    schema.migrate(url, "public")
    fill(db)
    before = catalogue(db), contents(db, "public")
    run(db, "DROP INDEX ticket_service_reservation_items_seat_id_idx")
    schema.migrate(url, "public")
    schema.migrate(url, "public")
    assert (catalogue(db), contents(db, "public")) == before


# An installation that another program made


@dataclass(frozen=True)
class Installation:
    """How another program may have made the tables."""

    schema: str = "public"
    users: bool = False
    check: str = OLD_CHECK
    keywords: bool = False
    indexes: bool = False
    more: str = ""

    def make(self, db: Connection) -> None:
        """Make them, with one row in each."""
        run(db, f"CREATE SCHEMA IF NOT EXISTS {self.schema}; SET search_path = {self.schema}")
        user = "uuid"
        if self.users:
            run(db, f"CREATE TABLE users (id uuid PRIMARY KEY); INSERT INTO users SELECT {USER}")
            user = "uuid NOT NULL REFERENCES users (id)"
        run(db, OTHER_TABLES.format(user=user, check=self.check))
        if self.keywords:
            run(db, OTHER_KEYWORDS)
        if self.indexes:
            run(db, OTHER_INDEXES)
        if self.more:
            run(db, self.more)
        fill(db)
        run(db, "SET search_path = public")


OTHER_TABLES = """
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END';
    CREATE TABLE seat_layouts (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(100) UNIQUE,
        description text, total_seats int, layout_config jsonb,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE events (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title varchar(255), description text,
        venue varchar(255), address text, event_date timestamp NOT NULL,
        sale_start_date timestamp NOT NULL, sale_end_date timestamp NOT NULL,
        poster_image_url text, status varchar(20) DEFAULT 'upcoming',
        seat_layout_id uuid REFERENCES seat_layouts (id), artist_name varchar(255),
        pre_scaled boolean DEFAULT false, created_by uuid,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE ticket_types (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id uuid REFERENCES events (id) ON DELETE CASCADE, name varchar(100), price int,
        total_quantity int, available_quantity int CHECK (available_quantity >= 0),
        description text,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE seats (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id uuid REFERENCES events (id) ON DELETE CASCADE, section varchar(50),
        row_number int, seat_number int, seat_label varchar(20), price int,
        status varchar(20) DEFAULT 'available',
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
        CONSTRAINT one_seat UNIQUE (event_id, section, row_number, seat_number));
    CREATE TABLE reservations (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id {user},
        event_id uuid REFERENCES events (id) ON DELETE SET NULL,
        reservation_number varchar(50) UNIQUE, total_amount int,
        status varchar(20) DEFAULT 'pending' {check},
        payment_method varchar(50), payment_status varchar(20) DEFAULT 'pending'
            CHECK (payment_status IN ('pending', 'completed', 'failed', 'refunded')),
        expires_at timestamp,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE reservation_items (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        reservation_id uuid REFERENCES reservations (id) ON DELETE CASCADE,
        ticket_type_id uuid REFERENCES ticket_types (id),
        seat_id uuid REFERENCES seats (id) ON DELETE SET NULL,
        quantity int, unit_price int, subtotal int, created_at timestamp DEFAULT now());
    CREATE TRIGGER touch_seats BEFORE UPDATE ON seats
        FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER touch_reservations BEFORE UPDATE ON reservations
        FOR EACH ROW EXECUTE FUNCTION touch();
"""

OTHER_KEYWORDS = """
    CREATE TABLE keyword_mappings (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), korean varchar(255),
        english varchar(255), entity_type varchar(50), created_at timestamp DEFAULT now(),
        UNIQUE (korean, english));
"""

OTHER_INDEXES = """
    CREATE INDEX idx_sale ON events (sale_start_date, id, title);
    CREATE INDEX idx_types ON ticket_types (event_id);
    CREATE INDEX idx_mine ON reservations (user_id, created_at DESC);
    CREATE INDEX idx_lines ON reservation_items (reservation_id, seat_id);
    CREATE INDEX idx_line_types ON reservation_items (ticket_type_id);
    CREATE INDEX idx_line_seats ON reservation_items (seat_id);
"""

ALTER = "ALTER TABLE reservations ADD CONSTRAINT"

INSTALLATIONS = {
    "the oldest": Installation(),
    "in a schema, with users": Installation(schema="ticket_schema", users=True),
    "with users and own indexes": Installation(users=True, keywords=True, indexes=True),
    "a check with a name": Installation(check=f'CONSTRAINT "Status?" {OLD_CHECK}', keywords=True),
    "a check written as ANY": Installation(
        check="CHECK (status = ANY (ARRAY['cancelled', 'confirmed', 'pending']))", indexes=True
    ),
    "another check on the status": Installation(
        more=f"{ALTER} lower_case CHECK (status = lower(status))"
    ),
    "a check on the status and more": Installation(
        more=f"{ALTER} paid CHECK (status <> 'confirmed' OR payment_method IS NOT NULL)"
    ),
    "up to date": Installation(check=NEW_CHECK, keywords=True, indexes=True),
}


def fill(db: Connection) -> None:
    """One row in each table, long ago."""
    run(
        db,
        f"""
        INSERT INTO seat_layouts (name, total_seats, layout_config, updated_at)
            VALUES ('hall', 1, '[]', '2020-01-01');
        INSERT INTO events (title, event_date, sale_start_date, sale_end_date, updated_at)
            VALUES ('', '2020-01-01', '2020-01-01', '2020-01-01', '2020-01-01');
        INSERT INTO ticket_types
                (event_id, name, price, total_quantity, available_quantity, updated_at)
            SELECT id, '', 1, 2, 1, '2020-01-01' FROM events;
        INSERT INTO seats
                (event_id, section, row_number, seat_number, seat_label, price, updated_at)
            SELECT id, '', 1, 1, '', 1, '2020-01-01' FROM events;
        INSERT INTO reservations
                (user_id, event_id, reservation_number, total_amount, updated_at)
            SELECT {USER}, id, 'R1', 1, '2020-01-01' FROM events;
        INSERT INTO reservation_items (reservation_id, quantity, unit_price, subtotal)
            SELECT id, 1, 1, 1 FROM reservations;
        """,
    )


def contents(db: Connection, schema_name: str) -> list[list[tuple[Any, ...]]]:
    tables = [*UPDATED, "reservation_items"]
    return [run(db, f"SELECT * FROM {schema_name}.{table}") for table in tables]


@pytest.mark.parametrize("installed", INSTALLATIONS.values(), ids=INSTALLATIONS.keys())
def test_an_installation_is_only_added_to(url: str, db: Connection, installed: Installation):
    installed.make(db)
    before, rows = catalogue(db), contents(db, installed.schema)
    schema.migrate(url, installed.schema)
    schema.check(url, installed.schema)

    assert contents(db, installed.schema) == rows
    gone, added = before - catalogue(db), catalogue(db) - before
    assert gone == {thing for thing in before if is_narrow(thing)}
    assert {name for _, _, name, _ in gone} <= {name for _, _, name, _ in added}
    assert {kind for kind, place, _, _ in added if not place.endswith(OWN_TABLES)} <= {
        "constraint",
        "index",
        "function",
    }
    check_needed_indexes(db, installed.schema)

    run(db, f"UPDATE {installed.schema}.reservations SET status = 'expired'")
    for column in STATUSES:
        with pytest.raises(psycopg2.errors.CheckViolation):
            run(db, "UPDATE {}.{} SET {} = 'lost'".format(installed.schema, *column.split(".")))


def is_narrow(thing: tuple[Any, ...]) -> bool:
    """Whether it is a CHECK that lists the statuses of a reservation without 'expired'."""
    kind, _, _, definition = thing
    return kind == "constraint" and "'cancelled'" in definition and "'expired'" not in definition


def test_an_index_that_does_not_serve_is_not_counted(url: str, db: Connection):
    Installation(check=NEW_CHECK, keywords=True, indexes=True).make(db)
    run(
        db,
        """
        DROP INDEX idx_types, idx_line_seats, idx_mine;
        CREATE INDEX partial ON ticket_types (event_id) WHERE price > 0;
        CREATE INDEX begins_with_an_expression ON reservation_items (abs(quantity), seat_id);
        CREATE INDEX only_includes ON reservations (user_id) INCLUDE (created_at);
        """,
    )
    before = catalogue(db)
    schema.migrate(url, "public")
    added = {name for _, _, name, _ in catalogue(db) - before}
    assert added >= {
        "ticket_service_ticket_types_event_id_idx",
        "ticket_service_reservation_items_seat_id_idx",
        "ticket_service_reservations_user_id_created_at_idx",
    }


# A database in use


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


# Without migrations

DAMAGES = {
    "DROP TABLE keyword_mappings": "table keyword_mappings",
    "ALTER TABLE seats DROP COLUMN price": "column seats.price",
    "DROP INDEX ticket_service_reservation_items_seat_id_idx": (
        "index on reservation_items (seat_id)"
    ),
}


def test_the_check_names_exactly_what_is_missing(url: str, db: Connection):
    schema.migrate(url, "public")
    lacks: list[str] = []
    for damage, lack in DAMAGES.items():
        run(db, damage)
        lacks.append(lack)
        with pytest.raises(schema.SchemaIncomplete) as refused:
            schema.check(url, "public")
        assert str(refused.value) == "schema public lacks: " + "; ".join(lacks)
    with pytest.raises(schema.SchemaIncomplete, match=r"^schema ticket_schema does not exist$"):
        schema.check(url, "ticket_schema")


def test_a_check_without_expired_suffices_where_migrations_are_off(url: str, db: Connection):
    schema.migrate(url, "public")
    run(db, "ALTER TABLE reservations DROP CONSTRAINT reservations_status_check")
    run(db, f"{ALTER} old {OLD_CHECK}")
    schema.check(url, "public")


def test_an_instance_that_may_not_migrate_ends_and_says_what_is_missing(
    url: str, db: Connection, start_service: Callable[..., Service]
):
    with pytest.raises(ProcessFailed) as failed:
        start_service(DATABASE_URL=url, RUN_MIGRATIONS="false")
    assert re.search("ended with status [1-9]", str(failed.value))
    assert "schema public lacks: table events; table ticket_types" in str(failed.value)
    assert catalogue(db) == set()
