"""What a database of the service must contain, and what one contains."""

from typing import Any

from psycopg2.extensions import connection as Connection

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

NEEDED_INDEXES = [
    "events (sale_start_date, id",
    "events (status, sale_start_date",
    "events (status, sale_end_date",
    "events USING gin (ticket_service_grams(",
    "ticket_types (event_id",
    "seats (event_id, section, row_number, seat_number",
    "reservations (user_id, created_at",
    "reservations (status, expires_at",
    "reservations (updated_at) WHERE",
    "reservation_items (reservation_id",
    "reservation_items (ticket_type_id",
    "reservation_items (seat_id",
    "ticket_service_payments (reservation_id",
]

# Everything in a database, one row for each object: kind, table, name, definition.
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

USER = "'00000000-0000-4000-8000-000000000001'::uuid"


def run(db: Connection, statement: str) -> list[tuple[Any, ...]]:
    with db.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def catalogue(db: Connection) -> set[tuple[Any, ...]]:
    return set(run(db, CATALOGUE_SQL))


def check_needed_indexes(db: Connection, schema_name: str) -> None:
    """Fail unless each needed index exists exactly once, under any name."""
    indexes = [
        definition.split(" ON ")[1].replace(f"{schema_name}.", "").replace("USING btree ", "")
        for kind, _, _, definition in catalogue(db)
        if kind == "index"
    ]
    found = {needed: sum(i.startswith(needed) for i in indexes) for needed in NEEDED_INDEXES}
    assert found == dict.fromkeys(NEEDED_INDEXES, 1)


ALTER = "ALTER TABLE reservations ADD CONSTRAINT"


def fill(db: Connection) -> None:
    """Insert one old row into each table."""
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
