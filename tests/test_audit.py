"""The audit: silent while the books balance, and it finds each kind of fault."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.workspace import ROOT
from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.internal import TOKEN, audit, metric
from tests.support.others import pay
from tests.support.service import Service, run_service
from tests.support.wire import check_soon

GAUGE = "ticket_audit_faults"


database_url = own_database_url
"""A database of which these tests know all faults."""


database = balanced_database


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    with run_service(folder, DATABASE_URL=database_url, INTERNAL_API_TOKEN=TOKEN) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: MakeEvent, database: Connection, service: Service) -> Event:
    """Two seats and four tickets are held, two of each are paid for, and more was cancelled."""
    event = make_event(sections=[section(seats=10)], tickets=[ticket(total=100), ticket("VIP")])
    seats = hold_seats(database, event, event.seat_ids[:4], 300)
    tickets = hold_tickets(database, event, 3, 300)
    for held in (seats[0], seats[1], tickets[0]):
        assert pay(database, held)
    token = token_for()
    order = {"eventId": event.id, "seatIds": event.seat_ids[4:6]}
    held = service.post("/seats/reserve", token=token, json=order).json()["reservation"]["id"]
    assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
    return event


def command(database_url: str) -> tuple[int, list[str]]:
    """The status and the lines of the command-line twin."""
    ran = subprocess.run(
        [sys.executable, "-m", "ticket_service.audit"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout.splitlines()


def test_sound_books_have_no_faults(service: Service, event: Event, database_url: str):
    assert audit(service) == []
    assert metric(service, GAUGE) == 0
    assert command(database_url) == (0, ["0 faults"])


# The rule that is broken, and how. `mine`: the seats of the event.
FREE, HELD, PAID = (
    f"(SELECT id FROM mine WHERE status = '{s}' LIMIT 1)"
    for s in ("available", "locked", "reserved")
)
STATUS = "a seat's status does not fit its live reservation"
STOCK = "available and sold do not add up to the total"
FAULTS: dict[str, tuple[str, str]] = {
    "a free seat is locked": (STATUS, f"UPDATE seats SET status = 'locked' WHERE id = {FREE}"),
    "a free seat is reserved": (STATUS, f"UPDATE seats SET status = 'reserved' WHERE id = {FREE}"),
    "a held seat is free": (STATUS, f"UPDATE seats SET status = 'available' WHERE id = {HELD}"),
    "a held seat is reserved": (STATUS, f"UPDATE seats SET status = 'reserved' WHERE id = {HELD}"),
    "a paid seat is free": (STATUS, f"UPDATE seats SET status = 'available' WHERE id = {PAID}"),
    "a paid seat is locked": (STATUS, f"UPDATE seats SET status = 'locked' WHERE id = {PAID}"),
    "a seat is sold twice": (
        "a seat has two live reservations",
        """
        UPDATE reservation_items
        SET seat_id = (SELECT min(id::text)::uuid FROM mine WHERE status = 'reserved')
        WHERE seat_id = (SELECT max(id::text)::uuid FROM mine WHERE status = 'reserved')
        """,
    ),
    "a ticket too many": (
        STOCK,
        "UPDATE ticket_types SET available_quantity = available_quantity + 1 WHERE id = {type}",
    ),
    "a ticket too few": (
        STOCK,
        "UPDATE ticket_types SET available_quantity = available_quantity - 1 WHERE id = {type}",
    ),
    "fewer than none": (
        STOCK,
        "UPDATE ticket_types SET available_quantity = -1, total_quantity = 5 WHERE id = {type}",
    ),
    "a wrong amount": (
        "a reservation's amount is not the sum of its lines",
        "UPDATE reservations SET total_amount = total_amount + 1 WHERE id = {reservation}",
    ),
    "a wrong subtotal": (
        "a line's subtotal is not quantity times price",
        "UPDATE reservation_items SET unit_price = unit_price + 1 WHERE reservation_id ="
        " {reservation}",
    ),
}


def snapshot(database: Connection) -> list[Any]:
    """Everything in the tables, but for the times of changes."""
    rows = []
    with database.cursor() as cursor:
        for table in ("seats", "ticket_types", "reservations", "reservation_items"):
            cursor.execute(f"SELECT to_jsonb(t) - 'updated_at' FROM {table} t ORDER BY id")
            rows += [json.dumps(row, sort_keys=True) for (row,) in cursor.fetchall()]
    return rows


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_fault_is_found(
    service: Service, event: Event, database: Connection, database_url: str, fault: str
):
    rule, statement = FAULTS[fault]
    places = {
        "type": f"'{event.ticket_type_ids[0]}'",
        "reservation": f"(SELECT min(id::text)::uuid FROM reservations"
        f" WHERE event_id = '{event.id}' AND status = 'confirmed')",
    }
    mine = f"WITH mine AS (SELECT id, status FROM seats WHERE event_id = '{event.id}')"
    with undone(database):
        with database.cursor() as cursor:
            cursor.execute(f"{mine} {statement.format(**places)}")
            assert cursor.rowcount == 1
        found = audit(service)
        assert rule in {entry["rule"] for entry in found}
        assert all(entry.keys() == {"rule", "row"} and entry["row"] for entry in found)
        assert metric(service, GAUGE) == len(found)
        if fault == "a seat is sold twice":
            assert command(database_url)[0] == 1
    assert audit(service) == []
    assert metric(service, GAUGE) == 0


class undone:  # noqa: N801 # reads as words: with undone(…)
    """Put the rows back as they were: seats, ticket types, reservations and their lines."""

    TABLES = ("seats", "ticket_types", "reservations", "reservation_items")

    def __init__(self, database: Connection) -> None:
        self._database = database
        self._rows: dict[str, list[str]] = {}

    def __enter__(self) -> None:
        with self._database.cursor() as cursor:
            for table in self.TABLES:
                cursor.execute(f"SELECT row_to_json(t)::text FROM {table} t")
                self._rows[table] = [row for (row,) in cursor.fetchall()]

    def __exit__(self, *_: object) -> None:
        with self._database.cursor() as cursor:
            for table, rows in self._rows.items():
                columns = [name for name in json.loads(rows[0]) if name != "id"]
                sets = ", ".join(f"{name} = was.{name}" for name in columns)
                cursor.execute(
                    f"UPDATE {table} t SET {sets}"
                    f" FROM json_populate_recordset(NULL::{table}, %s::json) was"
                    " WHERE t.id = was.id",
                    (f"[{','.join(rows)}]",),
                )


def test_a_hold_that_nobody_ends_is_found(
    service: Service, event: Event, database: Connection, database_url: str
):
    """Somebody has its row for longer than it may stand."""
    rule = "a live hold is past its end"
    which = f"""
        (SELECT id FROM reservations WHERE event_id = '{event.id}' AND status = 'pending' LIMIT 1)
    """
    with closing(psycopg2.connect(database_url)) as other:
        held = one(other, f"SELECT id FROM reservations WHERE id = {which} FOR UPDATE")
        with other.cursor() as cursor:
            cursor.execute(
                "UPDATE reservations SET expires_at = now() AT TIME ZONE 'UTC' - interval %s"
                " WHERE id = %s",
                ("10 seconds", held),
            )
            # Seen by all, and locked again before an instance can have it: it skips locked rows.
            cursor.execute(
                "COMMIT; BEGIN; SELECT FROM reservations WHERE id = %s FOR UPDATE", (held,)
            )
        status = f"SELECT status FROM reservations WHERE id = '{held}'"
        assert one(database, status) == "pending"
        assert audit(service) == [{"rule": rule, "row": [str(held)]}]
        returncode, lines = command(database_url)
        assert (returncode, lines) == (1, [f"{rule}: ['{held}']", "1 faults"])
        assert metric(service, GAUGE) == 1
    check_soon(lambda: one(database, status), "expired")


def test_the_audit_only_reads(
    service: Service, event: Event, database: Connection, database_url: str
):
    """It neither changes a row nor waits for those who change some."""
    before = snapshot(database)
    with closing(psycopg2.connect(database_url)) as other:
        for table in ("seats", "ticket_types", "reservations", "reservation_items"):
            one(other, f"SELECT count(*) FROM (SELECT id FROM {table} FOR UPDATE) locked")
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE seats, reservations IN SHARE ROW EXCLUSIVE MODE")
        assert audit(service) == []
    assert snapshot(database) == before
    options = "-c default_transaction_read_only=on"
    assert command(f"{database_url}&options={options.replace(' ', '%20').replace('=', '%3D')}") == (
        0,
        ["0 faults"],
    )


def test_fifty_thousand_seats_are_looked_at_quickly(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(rows=1000, seats=50)], tickets=[ticket(total=20_000)])
    holds = hold_seats(database, event, event.seat_ids[:10_000], 600)
    hold_tickets(database, event, 5_000, 600)
    with database.cursor() as cursor:
        cursor.execute("ANALYZE seats, reservations, reservation_items, ticket_types")
    assert len(holds) == 10_000
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert audit(service) == []
        times.append(time.monotonic() - started)
    print(f"the audit of 50,000 seats takes {min(times):.2f} s")
    assert min(times) < 2
