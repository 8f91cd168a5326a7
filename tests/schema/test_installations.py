"""The migrations on an installation that another program made."""

from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.support.installations import INSTALLATIONS, Installation
from tests.support.schemas import (
    NEW_CHECK,
    OWN_TABLES,
    STATUSES,
    catalogue,
    check_needed_indexes,
    contents,
    run,
)
from ticket_service.stores import schema


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
