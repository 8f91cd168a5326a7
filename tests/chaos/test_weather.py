"""The run itself: the same seed makes the same weather, and what goes wrong is reported."""

import json
from itertools import islice
from pathlib import Path

import pytest

from chaos import pulse, report
from chaos.history import Fault, History, Record
from chaos.storm import order
from chaos.weather.kinds import WEATHER
from dev.workspace import ROOT

NAMES = list(WEATHER)


def asked(status: int | None, asked_at: float = 10, seconds: float = 1, **extra: object) -> Record:
    """A request and its answer, or that there was none."""
    told_at = None if status is None else asked_at + seconds
    answer: object = {} if status else None
    return Record("a", "buyers", "hold", {}, asked_at, told_at, status, answer, dict(extra))


def found(folder: Path, *entries: Record | Fault) -> list[str]:
    history = History(
        [entry for entry in entries if isinstance(entry, Record)],
        [entry for entry in entries if isinstance(entry, Fault)],
    )
    return report.faults_of(history, folder)


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


def test_what_took_long_as_the_machine_stood_still_is_not_reported(tmp_path: Path):
    still = Fault(pulse.NAME, 12, 20, 20)
    assert found(tmp_path, still, asked(200, seconds=11), Fault("redis-slow", 1, 2, 15)) == []
    assert len(found(tmp_path, still, asked(200, asked_at=30, seconds=11))) == 1


def test_an_unexpected_error_in_a_log_is_reported(tmp_path: Path):
    lines = [{"message": "unhandled", "exc_info": "…"}, {"message": "redis away"}]
    text = "\n".join(["gunicorn's own line", *map(json.dumps, lines)])
    (tmp_path / "service-1.log").write_text(text)
    assert len(found(tmp_path)) == 1
