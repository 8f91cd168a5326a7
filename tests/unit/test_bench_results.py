"""The results of the benchmark that are kept, and what is said of the next ones."""

from pathlib import Path

import pytest

from bench.results import Figure, Run, comparison, last


def run(*figures: Figure, date: str = "2026-01-31", machine: str = "A (R) CPU, 2 cores") -> Run:
    return Run(machine, date, ["Python 3"], list(figures))


def line(before: Figure, now: Figure) -> str:
    [_, found] = comparison([now], run(before))
    return found


def test_the_last_run_of_a_machine_is_found_again(tmp_path: Path):
    figure = Figure("holds", "of Y", [0.3, 0.4, 0.35])
    older = run(figure, date="2025-12-31")
    latest = run(figure, Figure("start", "s", [1.5], higher_is_better=False))
    for kept in (older, latest, run(figure, date="2026-02-01", machine="another")):
        kept.keep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert last("A (R) CPU, 2 cores", tmp_path) == latest


def test_what_a_later_run_of_the_day_did_not_measure_is_kept(tmp_path: Path):
    first, second = (
        Figure("holds", "of Y", [0.3]),
        Figure("start", "s", [1.5], higher_is_better=False),
    )
    run(first, second).keep(tmp_path)
    again = Figure("holds", "of Y", [0.4])
    run(again).keep(tmp_path)
    kept = last("A (R) CPU, 2 cores", tmp_path)
    assert kept is not None
    assert list(kept.figures) == [again, second]


def test_nothing_is_compared_without_an_earlier_run_of_the_machine(tmp_path: Path):
    run(Figure("holds", "of Y", [0.3])).keep(tmp_path)
    assert last("B", tmp_path) is None
    [said] = comparison([Figure("holds", "of Y", [0.3])], None)
    assert "nothing to compare" in said


@pytest.mark.parametrize(
    ("before", "now", "higher_is_better", "mark"),
    [
        ([1.0, 1.1, 1.2], [1.4, 1.5, 1.6], True, "BETTER"),
        ([1.0, 1.1, 1.2], [1.4, 1.5, 1.6], False, "WORSE"),
        ([1.4, 1.5, 1.6], [1.0, 1.1, 1.2], True, "WORSE"),
        ([1.4, 1.5, 1.6], [1.0, 1.1, 1.2], False, "BETTER"),
        ([1.0, 1.1, 1.2], [1.0, 1.2, 1.5], True, None),  # within the noise of the new run
        ([0.8, 1.1, 1.4], [1.5, 1.5, 1.5], True, None),  # within the noise of the old one
        ([1.1], [1.4, 1.5, 1.6], True, None),  # one round: its noise is not known
    ],
)
def test_what_moved_by_more_than_its_noise_is_marked(
    before: list[float], now: list[float], higher_is_better: bool, mark: str | None
):
    said = line(*(Figure("x", "/s", rounds, higher_is_better) for rounds in (before, now)))
    assert [word for word in ("BETTER", "WORSE") if word in said] == ([mark] if mark else [])


def test_a_figure_that_only_one_run_has_is_left_out():
    [_, *lines] = comparison([Figure("new", "/s", [1.0])], run(Figure("old", "/s", [1.0])))
    assert lines == []


def test_the_change_is_told_with_its_noise():
    said = line(
        Figure("holds", "/s", [1000, 1100, 1200]), Figure("holds", "/s", [1210, 1320, 1410])
    )
    assert "1,100 →     1,320 ± 200 /s  +20%  BETTER" in said
