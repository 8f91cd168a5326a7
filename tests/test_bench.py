"""The measurements run to their end. What they measure is for people: no test asserts a time."""

import os
import subprocess
import sys
from uuid import uuid4

import psutil

from dev.workspace import ROOT

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
]


def test_a_short_run_prints_every_row_and_leaves_nothing_behind():
    mark = str(uuid4())
    own = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "DB_HOST", "REDIS_HOST"), "")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--seconds", "0.6", "--rounds", "1", "--line", "20000"],
        cwd=ROOT,
        env={**os.environ, **own, "BENCH_RUN": mark},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for row in ROWS:
        assert sum(row in line for line in lines) == 1, (row, done.stdout)
    assert lines[-1].startswith("0 wrong answers")
    assert not [process for process in psutil.process_iter() if _has(process, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("BENCH_RUN") == mark
    except psutil.Error:
        return False
