"""What the service sells during a run: the demonstration data, and much more of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import cursor as Cursor

from dev import demo_data
from ticket_service.stores import schema

STADIUM_SEATS = 4_900

HUGE_STOCK = 1_000_000_000

# Copies of the demonstration's stadium, with all seats free.
_STADIUMS_SQL = """
    WITH stadium AS (
        SELECT e.* FROM events e JOIN seat_layouts l ON l.id = e.seat_layout_id
        WHERE e.status = 'on_sale' AND l.total_seats = %(seats)s
        ORDER BY e.id LIMIT 1
    ),
    made AS (
        INSERT INTO events (title, description, venue, address, artist_name, event_date,
            sale_start_date, sale_end_date, status, seat_layout_id)
        SELECT title || ' ' || n, description, venue, address, artist_name, event_date,
            sale_start_date, sale_end_date, status, seat_layout_id
        FROM stadium, generate_series(1, %(count)s) AS n
        RETURNING id
    )
    INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)
    SELECT made.id, s.section, s.row_number, s.seat_number, s.seat_label, s.price
    FROM made, stadium JOIN seats s ON s.event_id = stadium.id
    RETURNING event_id::text, id::text
"""

_TICKET_TYPE_SQL = """
    INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)
    SELECT id, 'Standing', 1000, %(stock)s, %(stock)s FROM events
    WHERE status = 'on_sale' AND seat_layout_id IS NULL
    ORDER BY id LIMIT 1
    RETURNING event_id::text, id::text
"""

# People wait for these, and nobody buys.
_QUEUED_SQL = """
    INSERT INTO events (title, event_date, sale_start_date, sale_end_date, status)
    SELECT title || ', a line of people', event_date, sale_start_date, sale_end_date, status
    FROM (SELECT * FROM events WHERE status = 'on_sale' ORDER BY id LIMIT 1) e,
        generate_series(1, 2)
    RETURNING id::text
"""


class Item(NamedTuple):
    """Something that can be bought."""

    event_id: str
    id: str


@dataclass(frozen=True)
class Data:
    """The data of a run."""

    stadium_id: str
    """The event whose seat map is read."""
    stadium_seats: list[Item]
    free_seats: list[Item]
    """Seats of other events, one event after the other: a sale is a rush on one of them."""
    ticket_type: Item
    queued_ids: list[str]
    """Two events with a line in front of them."""

    @property
    def event_ids(self) -> list[str]:
        """Every event that anyone buys or waits for."""
        sold = {item.event_id for item in (*self.stadium_seats, *self.free_seats)}
        return [*sold, self.ticket_type.event_id, *self.queued_ids]


def load(database_url: str, free_seats: int) -> Data:
    """Fill the empty database, with at least so many `free_seats`. Raises psycopg2.Error."""
    schema.migrate(database_url, "public")
    demo_data.load(database_url, "public")
    with autocommit(database_url) as cursor:
        count = 1 + math.ceil(free_seats / STADIUM_SEATS)
        cursor.execute(_STADIUMS_SQL, {"seats": STADIUM_SEATS, "count": count})
        seats = sorted(Item(*row) for row in cursor)
        cursor.execute(_TICKET_TYPE_SQL, {"stock": HUGE_STOCK})
        [ticket_type] = [Item(*row) for row in cursor]
        cursor.execute(_QUEUED_SQL)
        queued_ids = [event_id for (event_id,) in cursor]
        # Now, so that autovacuum does not run during a measurement.
        cursor.execute("VACUUM ANALYZE")
    return Data(
        stadium_id=seats[0].event_id,
        stadium_seats=seats[:STADIUM_SEATS],
        free_seats=seats[STADIUM_SEATS:],
        ticket_type=ticket_type,
        queued_ids=queued_ids,
    )


def describe(database_url: str) -> str:
    """The version of PostgreSQL and its settings of durability."""
    with autocommit(database_url) as cursor:
        names = ("server_version", "fsync", "synchronous_commit")
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
        [(version, fsync, commit)] = cursor.fetchall()
    return f"PostgreSQL {version} (fsync {fsync}, synchronous_commit {commit})"


@contextmanager
def autocommit(database_url: str) -> Iterator[Cursor]:
    """A cursor whose statements commit by themselves. Raises psycopg2.Error."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        yield cursor
