"""schemathesis: whatever the description allows or forbids is answered as it says.

The same requests every time. To try other ones, and many more (some minutes):

    SCHEMATHESIS_EXAMPLES=500 SCHEMATHESIS_SEED=1 .venv/bin/python -m pytest -n 0 \
        tests/test_schemathesis.py
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from dev.workspace import ROOT
from tests.support import internal
from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import MakeEvent, section, ticket
from tests.support.holds import hold_seats, hold_tickets
from tests.support.openapi import description, operations
from tests.support.service import Service, run_service

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "5")
"""Requests that are made up for each call, beside those at the bounds of its parameters."""

SEED = os.environ.get("SCHEMATHESIS_SEED", "13")

BUYER = str(uuid4())

CALLERS = {
    "user": {"Authorization": f"Bearer {token_for(BUYER)}"},
    "admin": {"Authorization": f"Bearer {token_for(BUYER, role='admin')}"},
    "service": internal.SERVICE,
}

CALLS_OF = {
    "user": [],
    "admin": ["--include-path-regex", "/queue/"],
    "service": ["--include-path-regex", "/internal/"],
}
"""By caller, the options that choose the calls: all, or its own."""

database_url = own_database_url
database = balanced_database


@pytest.fixture(scope="module")
def instance(database_url: str, folder: Path) -> Iterator[Service]:
    with run_service(
        folder,
        DATABASE_URL=database_url,
        INTERNAL_API_TOKEN=internal.TOKEN,
        MAX_LIVE_TICKETS_PER_BUYER="100",
    ) as service:
        yield service
        service.kill()


@pytest.fixture
def ids(database: Connection, make_event: MakeEvent) -> dict[str, list[str]]:
    """The ids of events that can be booked, and of reservations of the buyer."""
    events = [
        make_event(sections=[section(rows=5, seats=20)], tickets=[ticket(total=1_000)])
        for _ in range(2)
    ]
    held = hold_seats(database, events[0], events[0].seat_ids[-4:], 600, BUYER)
    held += hold_tickets(database, events[1], 2, 600, BUYER)
    return {
        "event_id": [event.id for event in events],
        "seat_id": events[0].seat_ids,
        "ticket_type_id": [event.ticket_type_ids[0] for event in events],
        "reservation_id": held,
    }


def run(
    service: Service, caller: str, ids: dict[str, list[str]], *options: str
) -> subprocess.CompletedProcess[str]:
    """Run all checks and all phases as this caller."""
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run"]
    command += [f"{service.url}/api/v1/openapi.json", "--checks", "all", "--seed", SEED]
    command += ["--max-examples", EXAMPLES, "--generation-database", "none", "--no-shrink"]
    command += ["--suppress-health-check", "all", "--warnings", "off"]
    command += ["--request-timeout", "60", *options]
    for name, value in CALLERS[caller].items():
        command += ["--header", f"{name}: {value}"]
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
        "SCHEMATHESIS_IDS": json.dumps(ids),
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory() as folder:  # where it keeps what it has found
        return subprocess.run(
            command, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True
        )


def test_all_answers_are_as_described(instance: Service, ids: dict[str, list[str]]):
    for caller, options in CALLS_OF.items():
        result = run(instance, caller, ids, *options)
        assert result.returncode == 0, result.stdout + result.stderr
    lines = instance.log_lines()
    assert [line for line in lines if line["level"] == "ERROR"] == []
    good = {
        (line["method"].lower(), re.sub(r"<id:(\w+)>", r"{\1}", line["route"]))
        for line in lines
        if line["message"] == "request" and line["status"] < 300 and line["route"]
    }
    described = {(method, path) for method, path, _ in operations(description(instance))}
    assert described - good == set()  # each was answered with success, not only refused


FOUND = {
    "Response violates schema",
    "Undocumented status code",
    "Undocumented Content-Type",
    "Server error",
    "Missing required response headers",
    "API accepts requests without authentication",
    "Schema-valid request rejected",
    "Schema-violating request accepted",
    "Missing required header accepted",
    "Wrong response to undeclared method",
}


def test_answers_that_are_not_as_described_are_found(
    database_url: str, start_service: Callable[..., Service], ids: dict[str, list[str]]
):
    service = start_service(app="tests.support.undescribed:app", DATABASE_URL=database_url)
    paths = "^(/health.*|/api/v1/(seats/layouts|reservations|reservations/my|events))$"
    result = run(service, "user", ids, "--include-path-regex", paths, "--continue-on-failure")
    assert result.returncode == 1
    assert set(re.findall(r"^- ST\d+ (.*)$", result.stdout, re.MULTILINE)) == FOUND
    service.kill()
