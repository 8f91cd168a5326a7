"""The development tools: the token, the demo data, and `make run` from start to end."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import psutil
import psycopg2
import pytest
import urllib3
from psycopg2.extensions import connection as Connection

from dev import demo_data
from dev.processes import free_port, wait_for_end
from dev.servers import Servers
from dev.workspace import DEMO_BUYER_ID, ROOT
from tests.support.databases import new_database
from ticket_service.stores import schema

SECRET = "a secret of the tests, which signs nothing elsewhere"


def make_token(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dev.make_token", *arguments],
        cwd=ROOT,
        env={**os.environ, "ENVIRONMENT": "", "JWT_SECRET": SECRET, **env},
        capture_output=True,
        text=True,
    )


def test_a_token_is_the_demonstration_buyers_for_a_day():
    claims = jwt.decode(make_token().stdout.strip(), SECRET, algorithms=["HS256"])
    assert claims["userId"] == DEMO_BUYER_ID
    assert claims["role"] == "user"
    assert "@" in claims["email"]
    assert claims["exp"] - claims["iat"] == 24 * 60 * 60


def test_an_argument_makes_the_token_an_admins():
    buyer = str(uuid4())
    token = make_token("admin", "--user-id", buyer).stdout.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert (claims["role"], claims["userId"]) == ("admin", buyer)


def test_no_token_in_production():
    refused = make_token(ENVIRONMENT="production")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert "production" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_secret_is_made_once_and_is_private(tmp_path: Path):
    env = {"JWT_SECRET": "", "DEV_DATA_DIR": str(tmp_path)}
    first, second = make_token(**env), make_token(**env)
    kept = tmp_path / "jwt_secret"
    assert kept.stat().st_mode & 0o777 == 0o600
    for token in (first, second):
        jwt.decode(token.stdout.strip(), kept.read_text(), algorithms=["HS256"])


@pytest.fixture(scope="module")
def demo(servers: Servers) -> Iterator[Connection]:
    """A database of its own with the demo data, in a schema that is not the default one."""
    with new_database(servers.database_url) as url:
        schema.migrate(url, "ticket_schema")
        assert demo_data.load(url, "ticket_schema")
        assert not demo_data.load(url, "ticket_schema")
        with closing(psycopg2.connect(url, options="-c search_path=ticket_schema")) as connection:
            connection.autocommit = True
            yield connection


def rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_demo_layouts_have_the_seats_they_promise(demo: Connection):
    sums = """
        SELECT name, total_seats, (
            SELECT sum((part ->> 'rows')::int * (part ->> 'seatsPerRow')::int)
            FROM jsonb_array_elements(layout_config -> 'sections') AS part
        ) FROM seat_layouts ORDER BY total_seats
    """
    assert rows(demo, sums) == [
        ("소극장", 265, 265),
        ("대극장", 1250, 1250),
        ("스타디움", 4900, 4900),
    ]


def test_demo_events_show_every_status_and_have_their_seats(demo: Connection):
    statuses = {status for (status,) in rows(demo, "SELECT status FROM events")}
    assert statuses == {"upcoming", "on_sale", "sold_out", "ended", "cancelled"}
    with_seats = """
        SELECT title, total_seats, count(seats.id)
        FROM events JOIN seat_layouts AS l ON l.id = seat_layout_id
        LEFT JOIN seats ON seats.event_id = events.id GROUP BY events.id, l.id
    """
    assert all(total == made for _, total, made in rows(demo, with_seats))
    biggest = "SELECT max(total_seats) FROM events JOIN seat_layouts AS l ON l.id = seat_layout_id"
    assert rows(demo, f"{biggest} WHERE status = 'on_sale'") == [(4900,)]


def test_no_demo_event_has_both_seats_and_ticket_types(demo: Connection):
    """The page of an event with ticket types shows no seats."""
    both = "SELECT e.title FROM events AS e JOIN ticket_types AS t ON t.event_id = e.id"
    assert rows(demo, f"{both} WHERE e.seat_layout_id IS NOT NULL") == []


def test_demo_events_have_the_status_that_their_dates_give(demo: Connection):
    wrong = """
        SELECT title FROM events, (SELECT now() AT TIME ZONE 'UTC' AS at) AS clock
        WHERE CASE status
            WHEN 'upcoming' THEN sale_start_date <= at
            WHEN 'on_sale' THEN at NOT BETWEEN sale_start_date AND sale_end_date
            WHEN 'sold_out' THEN at NOT BETWEEN sale_start_date AND sale_end_date
            WHEN 'ended' THEN sale_end_date > at
        END OR event_date < sale_end_date
    """
    assert rows(demo, wrong) == []


def test_demo_books_balance(demo: Connection):
    tickets = """
        SELECT t.name FROM ticket_types AS t
        LEFT JOIN reservation_items AS i ON i.ticket_type_id = t.id
        GROUP BY t.id HAVING t.available_quantity + coalesce(sum(i.quantity), 0) <> t.total_quantity
    """
    assert rows(demo, tickets) == []
    seats = """
        SELECT s.id FROM seats AS s LEFT JOIN reservation_items AS i ON i.seat_id = s.id
        GROUP BY s.id HAVING count(i.id) <> (s.status = 'reserved')::int OR s.status = 'locked'
    """
    assert rows(demo, seats) == []
    sums = """
        SELECT r.id FROM reservations AS r JOIN reservation_items AS i ON i.reservation_id = r.id
        GROUP BY r.id HAVING r.total_amount <> sum(i.subtotal) OR sum(i.quantity) > 4
            OR bool_or(i.subtotal <> i.quantity * i.unit_price) OR r.status <> 'confirmed'
    """
    assert rows(demo, sums) == []
    left = """
        SELECT title FROM events AS e WHERE status = 'sold_out' AND (
            EXISTS (SELECT FROM seats WHERE event_id = e.id AND status = 'available')
            OR EXISTS (SELECT FROM ticket_types WHERE event_id = e.id AND available_quantity > 0)
        )
    """
    assert rows(demo, left) == []
    assert len(rows(demo, "SELECT FROM events WHERE status = 'sold_out'")) >= 2


class Run:
    """A `make run` without make, on a data folder and a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        own = {"DEV_DATA_DIR": str(folder), "TMPDIR": str(folder), "PORT": str(port)}
        for name in ("DATABASE_URL", "REDIS_URL", "DB_HOST", "REDIS_HOST", "DB_SCHEMA"):
            own[name] = ""
        self.url = f"http://127.0.0.1:{port}/api/v1/events"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dev.run"],
            cwd=ROOT,
            env={**os.environ, **own, "ENVIRONMENT": "development", "DB_SCHEMA": "public"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for_banner(self) -> str:
        """What was printed until the request that one can copy."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if "seats/reserve" in line:
                return printed
        raise AssertionError(printed)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send the signal, if any, and wait; the exit status and what else was printed."""
        if number is not None:
            self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=60)
        return self.process.returncode, printed


@pytest.fixture
def start_run() -> Iterator[Callable[..., Run]]:
    """Start `Run`s, on one data folder unless another is given; they end with the test."""
    runs: list[Run] = []

    def start(port: int) -> Run:
        runs.append(Run(Path(folder), port))
        return runs[-1]

    with tempfile.TemporaryDirectory(prefix="ticket-run-") as folder:
        yield start
        for run in runs:
            run.process.terminate()
            run.process.wait(timeout=60)
            assert run.process.stdout is not None
            run.process.stdout.close()


def total_events(run: Run) -> int:
    answer = urllib3.request("GET", run.url, headers={"Connection": "close"})
    return int(answer.json()["pagination"]["total"])


def all_end(processes: list[psutil.Process]) -> bool:
    return all(wait_for_end(process, 5) for process in processes)


def test_run_from_start_to_end(start_run: Callable[..., Run]):
    run = start_run(free_port())
    assert "Loaded demo data" in run.wait_for_banner()
    assert total_events(run) >= 12
    children = run.children()
    assert len(children) >= 4
    status, printed = run.end(signal.SIGINT)
    assert status == 0
    assert "Traceback" not in printed
    assert all_end(children)


def test_run_listens_on_this_machine_only(start_run: Callable[..., Run]):
    """Its secret may be no secret."""
    port = free_port()
    run = start_run(port)
    run.wait_for_banner()
    heard = [one for child in run.children() for one in child.net_connections("tcp")]
    assert {one.laddr.ip for one in heard if one.laddr.port == port} == {"127.0.0.1"}


def test_run_takes_over_what_a_killed_run_left(start_run: Callable[..., Run]):
    port = free_port()
    first = start_run(port)
    first.wait_for_banner()
    children = first.children()
    first.process.kill()
    first.process.wait()
    second = start_run(port)
    assert "Loaded demo data" not in second.wait_for_banner()
    assert all_end(children)
    assert total_events(second) >= 12


def test_run_refuses_a_second_one_on_the_same_data(start_run: Callable[..., Run]):
    run = start_run(free_port())
    run.wait_for_banner()
    status, printed = start_run(free_port()).end()
    assert status == 1
    assert printed.startswith("make run: it runs already")
    assert total_events(run) >= 12


def test_run_says_that_the_port_is_taken(start_run: Callable[..., Run]):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        status, printed = start_run(port).end()
    assert status == 1
    assert printed == f"make run: port {port} is taken. Choose another: make run PORT={port + 1}\n"


def test_run_ends_when_the_service_does(start_run: Callable[..., Run]):
    run = start_run(free_port())
    run.wait_for_banner()
    children = run.children()
    gunicorn = next(child for child in children if "gunicorn" in child.cmdline())
    gunicorn.kill()
    status, printed = run.end()
    assert status == 1
    assert "the service ended" in printed
    assert all_end(children)
