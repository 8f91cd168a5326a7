"""What this service needs in the database: tables, columns, functions and indexes."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

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


FUNCTIONS = ("ticket_service_grams(text[])",)

SEARCHED = (
    "ticket_service_grams(lower(title), lower(artist_name), lower(venue), lower(address))"
    ' COLLATE "C"'
)
"""What an event can be found by. A search must contain exactly this expression to use the index.

Each text is lowered by the rules of its own column. COLLATE makes the order of the index that of
bytes: it is the fastest, and stays the same when the libraries of the server change."""


class Index(NamedTuple):
    """An index that this service needs."""

    table: str
    columns: str
    where: str = ""
    """The predicate of a partial index."""
    gin: str = ""
    """What a GIN index on an expression is called, in its name; `columns` is the expression."""

    @property
    def name(self) -> str:
        """What it is called where this service builds it."""
        return f"ticket_service_{self.table}_{self.gin or self.columns.replace(', ', '_')}_idx"

    @property
    def definition(self) -> str:
        """What follows CREATE INDEX, without CONCURRENTLY."""
        what = f"{self.name} ON {self.table}"
        if self.gin:
            # Otherwise it would collect changes, and each search would read all that it collected.
            return f"{what} USING gin (({self.columns})) WITH (fastupdate = off)"
        return f"{what} ({self.columns})" + (f" WHERE {self.where}" if self.where else "")

    @property
    def has_to_be_ours(self) -> bool:
        """Whether an index only counts under the name that we give it."""
        return bool(self.where or self.gin)

    def __str__(self) -> str:
        if self.has_to_be_ours:
            return f"index {self.definition}"
        return f"index on {self.table} ({self.columns})"


INDEXES = (
    Index("events", "sale_start_date, id"),
    Index("events", "status, sale_start_date"),
    Index("events", "status, sale_end_date"),
    Index("events", SEARCHED, gin="grams"),
    Index("ticket_types", "event_id"),
    Index("seats", "event_id, section, row_number, seat_number"),
    Index("reservations", "user_id, created_at"),
    Index("reservations", "status, expires_at"),
    Index("reservations", "updated_at", "status = 'confirmed'"),
    Index("reservation_items", "reservation_id"),
    Index("reservation_items", "ticket_type_id"),
    Index("reservation_items", "seat_id"),
    Index("ticket_service_payments", "reservation_id"),
)
"""Any valid index that begins with the columns will do, whatever its name: a second one would slow
down every write. A partial index, or one on an expression, only counts under our name."""

# Valid indexes: table, columns, name, whether it has all rows.
_INDEXES_SQL = """
    SELECT i.indrelid::regclass::text, (
        SELECT string_agg(coalesce(a.attname, '?'), ', ' ORDER BY k.position)
        FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, position)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    ), c.relname, i.indpred IS NULL
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid
"""


def run(
    connection: Connection, statement: str | sql.Composed, *parameters: object
) -> list[tuple[Any, ...]]:
    """Execute a statement, and return its rows, or none. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def missing(connection: Connection, schema: str) -> list[str]:
    """Return what the schema lacks, as phrases such as ``table seats``, ``column seats.price``."""
    columns: dict[str, set[str]] = {}
    for table, column in run(
        connection,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
        schema,
    ):
        columns.setdefault(table, set()).add(column)
    lacks = [f"table {table}" for table in COLUMNS if table not in columns]
    for table in columns.keys() & COLUMNS.keys():
        absent = set(COLUMNS[table].split()) - columns[table]
        lacks += [f"column {table}.{column}" for column in sorted(absent)]
    for function in FUNCTIONS:
        if run(connection, "SELECT to_regprocedure(%s) IS NULL", function) == [(True,)]:
            lacks.append(f"function {function}")
    there = run(connection, _INDEXES_SQL)
    return lacks + [
        str(index) for index in INDEXES if index.table in columns and not _serves(there, index)
    ]


def is_indexed(connection: Connection, needed: Index) -> bool:
    """Whether the schema of the connection has an index that serves."""
    return _serves(run(connection, _INDEXES_SQL), needed)


def _serves(there: list[tuple[Any, ...]], needed: Index) -> bool:
    """Whether one of the indexes that are there serves."""
    return any(
        table == needed.table
        and (
            name == needed.name
            if needed.has_to_be_ours
            else has_all_rows and f"{columns}, ".startswith(f"{needed.columns}, ")
        )
        for table, columns, name, has_all_rows in there
    )
