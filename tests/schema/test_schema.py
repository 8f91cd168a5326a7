"""The migrations on an empty database, and the check of what is missing."""

import re
from collections.abc import Callable
from datetime import timedelta

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.processes import ProcessFailed
from tests.support.schemas import (
    ALTER,
    OLD_CHECK,
    STATUSES,
    TABLES,
    UPDATED,
    catalogue,
    check_needed_indexes,
    contents,
    fill,
    run,
)
from tests.support.service import Service
from ticket_service.stores import schema

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


# Without migrations

DAMAGES = {
    "DROP TABLE keyword_mappings": "table keyword_mappings",
    "ALTER TABLE seats DROP COLUMN price": "column seats.price",
    "DROP FUNCTION ticket_service_grams CASCADE": (
        "function ticket_service_grams(text[]); "
        "index ticket_service_events_grams_idx ON events USING gin ((ticket_service_grams("
        "lower(title), lower(artist_name), lower(venue), lower(address))"
        ' COLLATE "C")) WITH (fastupdate = off)'
    ),
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
