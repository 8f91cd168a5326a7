"""Rows for tests. Every call makes new ones, so that tests do not share them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values


@dataclass(frozen=True)
class Event:
    """The ids of an event's rows: its seats in the order of the API, its tickets as given."""

    id: str
    title: str
    layout_id: str | None = None
    seat_ids: list[str] = field(default_factory=list)
    ticket_type_ids: list[str] = field(default_factory=list)


MakeEvent = Callable[..., Event]
"""The fixture `make_event`: `make_event` below, with the database of the test."""


def section(
    name: str = "VIP", rows: int = 1, seats: int = 10, price: int = 50_000, start_row: int = 1
) -> dict[str, Any]:
    """Return a section of a seat layout."""
    return {
        "name": name,
        "rows": rows,
        "seatsPerRow": seats,
        "price": price,
        "startRow": start_row,
    }


def ticket(
    name: str = "스탠딩", price: int = 30_000, total: int = 100, available: int | None = None
) -> dict[str, Any]:
    """Return a ticket type. All tickets are available unless `available` says otherwise."""
    left = total if available is None else available
    return {"name": name, "price": price, "total_quantity": total, "available_quantity": left}


def make_event(
    database: Connection,
    *,
    sections: Sequence[Mapping[str, Any]] = (),
    tickets: Sequence[Mapping[str, Any]] = (),
    sale: tuple[timedelta, timedelta] | None = None,
    **columns: Any,
) -> Event:
    """Insert an event that is on sale, with a layout and seats of `sections` and with `tickets`.

    Args:
        database: an autocommit connection.
        sections: each as `section()` makes it; none means an event without a layout.
        tickets: each as `ticket()` makes it.
        sale: start and end of the sale, from now; by default as the status says.
        columns: more columns of `events`, or other values for the usual ones.
    """
    layout_id = _make_layout(database, sections) if sections else None
    usual = _usual_columns(columns.get("status", "on_sale"), sale)
    values = {**usual, "seat_layout_id": layout_id, **columns}
    event_id = insert(database, "events", **values)
    return Event(
        id=event_id,
        title=values["title"],
        layout_id=layout_id,
        seat_ids=_make_seats(database, event_id, sections),
        ticket_type_ids=[
            insert(database, "ticket_types", event_id=event_id, **row) for row in tickets
        ],
    )


def insert(database: Connection, table: str, **columns: Any) -> str:
    """Insert one row and return its id."""
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING id",
            list(columns.values()),
        )
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


def one(database: Connection, query: str) -> Any:
    """Return the only value of a query."""
    with database.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def _usual_columns(status: str, sale: tuple[timedelta, timedelta] | None) -> dict[str, Any]:
    now = datetime.now(UTC).replace(tzinfo=None)
    begin = {"upcoming": 1, "ended": -3}.get(status, -1)
    sale = sale or (timedelta(hours=begin), timedelta(hours=begin + 2))
    return {
        "title": f"Event {uuid4()}",
        "venue": "Hall",
        "address": "1 Street",
        "artist_name": "Artist",
        "status": status,
        "sale_start_date": now + sale[0],
        "sale_end_date": now + sale[1],
        "event_date": now + sale[1] + timedelta(days=1),
    }


def _make_layout(database: Connection, sections: Sequence[Mapping[str, Any]]) -> str:
    return insert(
        database,
        "seat_layouts",
        name=f"Layout {uuid4()}",
        description="",
        total_seats=sum(part["rows"] * part["seatsPerRow"] for part in sections),
        layout_config=json.dumps({"sections": list(sections)}),
    )


def _make_seats(
    database: Connection, event_id: str, sections: Sequence[Mapping[str, Any]]
) -> list[str]:
    rows = [
        (event_id, part["name"], row, seat, f"{part['name']}-{row}-{seat}", part["price"])
        for part in sections
        for row in range(part["startRow"], part["startRow"] + part["rows"])
        for seat in range(1, part["seatsPerRow"] + 1)
    ]
    with database.cursor() as cursor:
        if rows:
            execute_values(
                cursor,
                "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
                " VALUES %s",
                rows,
            )
        cursor.execute(
            "SELECT id::text FROM seats WHERE event_id = %s"
            " ORDER BY section, row_number, seat_number",
            (event_id,),
        )
        return [seat_id for (seat_id,) in cursor.fetchall()]
