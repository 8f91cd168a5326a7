"""The figures of a run, kept as JSON, and the comparison with those of an earlier run.

`bench/results/` has one file for each machine and day on which a run was kept (`--keep`). Only runs
of one machine are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One number that a run has measured, in each round."""

    name: str
    unit: str
    rounds: Sequence[float]
    higher_is_better: bool = True

    @property
    def value(self) -> float:
        """The median over the rounds."""
        return median(self.rounds)

    @property
    def noise(self) -> float:
        """The distance between the largest and the smallest round."""
        return max(self.rounds) - min(self.rounds)


@dataclass(frozen=True)
class Run:
    """What is kept of a run."""

    machine: str
    date: str
    """The day, ISO 8601."""
    facts: Sequence[str]
    """Versions, cores, sizes: what one has to know to repeat it."""
    figures: Sequence[Figure]

    def keep(self, folder: Path = FOLDER) -> Path:
        """Write the file of this machine and day. Returns its path.

        The figures that an earlier run of the day kept, and this one did not measure, stay in it.
        """
        folder.mkdir(exist_ok=True)
        path = folder / f"{_slug(self.machine)}-{self.date}.json"
        figures = {figure.name: figure for figure in _read(path).figures} if path.exists() else {}
        figures |= {figure.name: figure for figure in self.figures}
        content = asdict(replace(self, figures=list(figures.values())))
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return path


def last(machine: str, folder: Path = FOLDER) -> Run | None:
    """The latest run of this machine that was kept, if any."""
    paths = sorted(folder.glob(f"{_slug(machine)}-????-??-??.json"))
    return _read(paths[-1]) if paths else None


def _read(path: Path) -> Run:
    content = json.loads(path.read_text())
    return Run(**content | {"figures": [Figure(**figure) for figure in content["figures"]]})


def comparison(now: Iterable[Figure], before: Run | None) -> list[str]:
    """One line for each figure that both runs have; marked if it moved by more than its noise.

    The noise is the larger one of both runs'. A figure of one round has none of its own, so it is
    never marked.
    """
    if before is None:
        return ["No earlier run of this machine is kept: nothing to compare with."]
    known = {figure.name: figure for figure in before.figures}
    pairs = [(known[figure.name], figure) for figure in now if figure.name in known]
    width = max((len(figure.name) for _, figure in pairs), default=0)
    lines = [_line(then, figure, width) for then, figure in pairs]
    return [f"Compared with {before.date}, medians, ± noise:", *lines]


def _line(then: Figure, now: Figure, width: int) -> str:
    noise = max(then.noise, now.noise)
    moved = min(len(then.rounds), len(now.rounds)) > 1 and abs(now.value - then.value) > noise
    mark = ""
    if moved:
        mark = "  BETTER" if (now.value > then.value) == now.higher_is_better else "  WORSE"
    change = f"{now.value / then.value - 1:+.0%}" if then.value else ""
    return (
        f"  {now.name:<{width}}  {_text(then.value):>9} → {_text(now.value):>9} ± {_text(noise)}"
        f" {now.unit}  {change}{mark}"
    )


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _slug(machine: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
