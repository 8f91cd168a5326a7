"""The measurements run to their end. What they measure is for people: no test asserts a time."""

import os
import subprocess
import sys
from uuid import uuid4

import psutil
import pytest

from dev.workspace import ROOT

pytestmark = pytest.mark.long

ROWS = [
    "Purchases: ",
    "POST /seats/reserve p50",
    "GET /reservations/{id}, paid p50",
    "Y: ",
    "GET /events |",
    "GET /events/{id} |",
    "GET /seats/events/{id}, 50 sold/s |",
    "gzip, 50 sold/s |",
    "If-None-Match, none sold |",
    "POST /seats/reserve, distinct seats |",
    "POST /reservations, one ticket type |",
    "POST /queue/check, inside or waiting |",
    "GET /queue/status, inside or waiting |",
    "POST /queue/heartbeat, inside or waiting |",
    "POST /queue/check, line of 1,000 |",
    "POST /queue/check, line of 20,000 |",
    "GET /queue/status, line of 1,000 |",
    "GET /queue/status, line of 20,000 |",
    "1,000 WebSockets in a room: deliveries |",
    "the same, each in a write of its own |",
    "connections of waiting people |",
    "0 wrong answers; ",
]


GROWTH = [
    *("reservations, 1,000 and 10,000", "events, 20 and 100", "seats of a hall, 4,900 and 4,900"),
    *("events on sale at once, 1 and 2", "sockets in a room, 10 and 25"),
    *("GET /reservations/my ", "search: two letters ", "search: a title ", "its map, gzip "),
    *("deliveries, each ",),
]

SCALING = [
    *("An instance is ready ", "idle: ", "busy: ", "One instance and two", "purchases "),
    *("POST /seats/reserve ", "POST /queue/check ", "data in memory: ", "data on a disk: "),
]


@pytest.mark.parametrize(
    ("part", "seconds", "size", "rows"),
    [("calls", 0.6, 0.02, ROWS), ("growth", 0.8, 0.005, GROWTH), ("scaling", 0.8, 1, SCALING)],
)
def test_a_short_run_prints_every_row_and_leaves_nothing_behind(
    part: str, seconds: float, size: float, rows: list[str]
):
    mark = str(uuid4())
    own = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "DB_HOST", "REDIS_HOST"), "")
    command = [sys.executable, "-m", "bench", part, "--rounds", "1"]
    done = subprocess.run(
        [*command, "--seconds", str(seconds), "--size", str(size)],
        cwd=ROOT,
        env={**os.environ, **own, "BENCH_RUN": mark},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [
        " ".join(line.split()) for line in done.stdout.partition("Compared with")[0].splitlines()
    ]
    for row in rows:
        assert sum(row in line for line in lines) == 1, (row, done.stdout)
    assert not [process for process in psutil.process_iter() if _has(process, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("BENCH_RUN") == mark
    except psutil.Error:
        return False
