"""Fills an empty database with the demonstration catalogue."""

import json
from uuid import UUID

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from dev.demo_catalogue import ADDRESSES, KEYWORDS, LAYOUTS, SHOWS, Show, Ticket
from dev.workspace import DEMO_BUYER_ID

PER_BUYER = 4
"""Seats or tickets in each reservation of what is sold: as many as a buyer may hold."""

_EVENT_SQL = """
    INSERT INTO events (title, artist_name, venue, address, description, status,
        sale_start_date, sale_end_date, event_date, seat_layout_id)
    SELECT %s, %s, %s, %s, %s, %s,
        today + make_interval(days => %s), today + make_interval(days => %s),
        today + make_interval(days => %s, hours => 10),
        (SELECT id FROM seat_layouts WHERE name = %s)
    FROM date_trunc('day', now() AT TIME ZONE 'UTC') AS today
    RETURNING id
"""

_SEATS_SQL = """
    INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)
    SELECT %s, s.name, r, n, concat_ws('-', s.name, r, n), s.price
    FROM seat_layouts AS l,
        jsonb_to_recordset(l.layout_config -> 'sections')
            AS s (name text, rows int, "seatsPerRow" int, price int, "startRow" int),
        generate_series(s."startRow", s."startRow" + s.rows - 1) AS r,
        generate_series(1, s."seatsPerRow") AS n
    WHERE l.name = %s
"""

# What is sold goes to paid reservations of PER_BUYER each. The first is the demonstration buyer's.
_SELL_SQL = """
    WITH sold AS ({sold}),
    buyers AS (
        SELECT n, sum(quantity * price) AS amount,
            format('DEMO-%%s-%%s', upper(left(gen_random_uuid()::text, 8)), n) AS number
        FROM sold GROUP BY n
    ),
    made AS (
        INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, status,
            payment_status, payment_method, expires_at)
        SELECT CASE n WHEN 0 THEN %(buyer)s::uuid ELSE gen_random_uuid() END, %(event)s, number,
            amount, 'confirmed', 'completed', 'naver_pay',
            (now() AT TIME ZONE 'UTC') + interval '5 minutes'
        FROM buyers
        RETURNING id, reservation_number
    )
    INSERT INTO reservation_items (reservation_id, ticket_type_id, seat_id, quantity, unit_price,
        subtotal)
    SELECT made.id, ticket_type_id, seat_id, quantity, price, quantity * price
    FROM sold JOIN buyers USING (n) JOIN made ON made.reservation_number = buyers.number
"""

_SOLD_SEATS_SQL = """
    SELECT (row_number() OVER (ORDER BY price DESC, row_number, seat_number) - 1) / %(each)s AS n,
        NULL::uuid AS ticket_type_id, id AS seat_id, 1 AS quantity, price
    FROM seats WHERE event_id = %(event)s AND status = 'reserved'
"""

_SOLD_TICKETS_SQL = """
    SELECT n, id AS ticket_type_id, NULL::uuid AS seat_id,
        least(%(each)s, total_quantity - available_quantity - n * %(each)s) AS quantity, price
    FROM ticket_types,
        generate_series(0, (total_quantity - available_quantity - 1) / %(each)s) AS n
    WHERE id = %(ticket_type)s AND available_quantity < total_quantity
"""


def load(database_url: str, schema: str) -> bool:
    """Load the demonstration data in one transaction, unless the database has an event already.

    Returns whether it loaded them. Needs the service's tables in `schema`. Raises psycopg2.Error.
    """
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
            cursor.execute("SELECT FROM events LIMIT 1")
            if cursor.rowcount:
                return False
            _add_layouts(cursor)
            _add_keywords(cursor)
            for show in SHOWS:
                _add_show(cursor, show)
            return True
    finally:
        connection.close()


def _add_layouts(cursor: Cursor) -> None:
    rows = []
    for name, (description, sections) in LAYOUTS.items():
        seats = sum(section.rows * section.seatsPerRow for section in sections)
        config = {"sections": [section._asdict() for section in sections]}
        rows.append((name, description, seats, json.dumps(config)))
    execute_values(
        cursor,
        "INSERT INTO seat_layouts (name, description, total_seats, layout_config) VALUES %s"
        " ON CONFLICT (name) DO NOTHING",
        rows,
    )


def _add_keywords(cursor: Cursor) -> None:
    execute_values(
        cursor,
        "INSERT INTO keyword_mappings (entity_type, korean, english) VALUES %s"
        " ON CONFLICT (korean, english) DO NOTHING",
        [(kind, *pair) for kind, pairs in KEYWORDS.items() for pair in pairs.items()],
    )


def _add_show(cursor: Cursor, show: Show) -> None:
    event = [show.title, show.artist, show.place, ADDRESSES[show.place], show.description]
    event_id = _insert(
        cursor, _EVENT_SQL, (*event, show.status, *show.sale_days, show.event_day, show.layout)
    )
    if show.layout:
        cursor.execute(_SEATS_SQL, (event_id, show.layout))
        _sell_seats(cursor, event_id, show.seats_sold)
    for ticket in show.tickets:
        _add_ticket_type(cursor, event_id, ticket)


def _sell_seats(cursor: Cursor, event_id: UUID, count: int) -> None:
    cursor.execute(
        "UPDATE seats SET status = 'reserved' WHERE id IN (SELECT id FROM seats"
        " WHERE event_id = %s ORDER BY price DESC, row_number, seat_number LIMIT %s)",
        (event_id, count),
    )
    _sell(cursor, _SOLD_SEATS_SQL, event=event_id)


def _add_ticket_type(cursor: Cursor, event_id: UUID, ticket: Ticket) -> None:
    left = ticket.total - ticket.sold
    ticket_type_id = _insert(
        cursor,
        "INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (event_id, ticket.name, ticket.price, ticket.total, left),
    )
    _sell(cursor, _SOLD_TICKETS_SQL, event=event_id, ticket_type=ticket_type_id)


def _sell(cursor: Cursor, sold: str, **ids: UUID) -> None:
    parameters = {**ids, "each": PER_BUYER, "buyer": DEMO_BUYER_ID}
    cursor.execute(_SELL_SQL.format(sold=sold), parameters)


def _insert(cursor: Cursor, statement: str, values: tuple[object, ...]) -> UUID:
    cursor.execute(statement, values)
    [(row_id,)] = cursor.fetchall()
    return row_id  # type: ignore[no-any-return]
