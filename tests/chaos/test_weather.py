"""The run itself: the same seed makes the same weather, and what goes wrong is reported."""

import json
import os
import sys
import time
from contextlib import closing
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path

import psutil
import pytest

from chaos import report
from chaos.history import Fault, History, Record, Writer
from chaos.pulse import pulse
from chaos.storm import order
from chaos.weather.kinds import WEATHER
from dev.workspace import ROOT

NAMES = list(WEATHER)


def asked(status: int | None, asked_at: float = 10, seconds: float = 1, **extra: object) -> Record:
    """A request and its answer, or that there was none."""
    told_at = None if status is None else asked_at + seconds
    answer: object = {} if status else None
    return Record("a", "buyers", "hold", {}, asked_at, told_at, status, answer, dict(extra))


def found(folder: Path, *entries: Record | Fault, slowdown: float = 1) -> list[str]:
    history = History(
        [entry for entry in entries if isinstance(entry, Record)],
        [entry for entry in entries if isinstance(entry, Fault)],
    )
    return report.faults_of(history, folder, lambda begin, end: slowdown)


def test_a_seed_makes_the_same_faults_in_the_same_order():
    first, again, other = (list(islice(order(seed, NAMES), 60)) for seed in (7, 7, 8))
    assert first == again != other
    assert sorted(first[: len(NAMES)]) == sorted(NAMES)


def test_every_fault_is_in_the_document():
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    "entry",
    [
        asked(500),
        asked(502),
        asked(200, seconds=11),
        asked(None, lost_at=21),
        Fault("redis-slow", 1, 2, 12.5),
        Fault("redis-slow", 1, 2),
    ],
    ids=["500", "502", "late", "never", "well too late", "never well"],
)
def test_what_may_not_happen_is_reported(tmp_path: Path, entry: Record | Fault):
    assert len(found(tmp_path, entry)) == 1


@pytest.mark.parametrize(
    "entry",
    [
        asked(201),
        asked(409),
        asked(503),
        asked(200, seconds=9),
        asked(None, lost_at=11, hung_up=True),
        Fault("redis-slow", 1, 2, 11),
    ],
    ids=["201", "409", "503", "slow", "hung up", "well in time"],
)
def test_what_may_happen_is_not_reported(tmp_path: Path, entry: Record | Fault):
    assert found(tmp_path, entry) == []


@pytest.mark.parametrize(("slowdown", "count"), [(1, 2), (2, 0), (inf, 0)])
def test_times_may_be_longer_on_a_busy_machine(tmp_path: Path, slowdown: float, count: int):
    late = asked(200, seconds=15), Fault("redis-slow", 1, 2, 15)
    assert len(found(tmp_path, *late, slowdown=slowdown)) == count
    never = asked(500), Fault("redis-slow", 1, 2)
    assert len(found(tmp_path, *never, slowdown=slowdown)) == 2


def test_an_unexpected_error_in_a_log_is_reported(tmp_path: Path):
    lines = [{"message": "unhandled", "exc_info": "…"}, {"message": "redis away"}]
    text = "\n".join(["gunicorn's own line", *map(json.dumps, lines)])
    (tmp_path / "service-1.log").write_text(text)
    assert len(found(tmp_path)) == 1


def test_a_process_that_gets_no_time_slows_everything_down(tmp_path: Path):
    """Two busy processes of which one may run."""
    busy = [sys.executable, "-c", "while True: pass"]
    core = min(os.sched_getaffinity(0))
    hogs = [psutil.Popen(busy, preexec_fn=partial(os.sched_setaffinity, 0, {core})) for _ in "ab"]
    try:
        for nice, hog in zip((0, 19), hogs, strict=True):
            hog.nice(max(nice, hog.nice()))
        with closing(Writer(tmp_path / "faults.jsonl")) as writer:
            with pulse(writer, lambda: [hogs[1].pid]) as felt:
                time.sleep(1.5)
            with pulse(writer, lambda: [hogs[0].pid]) as other:
                time.sleep(1.5)
        assert felt.slowdown() > other.slowdown()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
