"""`make chaos`: break things while people buy, and check everything that anybody was told.

The exit status is 1 if the checker found anything, if there was an error other than 503, if an
answer took too long, if it took more than 10 s until all was well again, or if the audit found a
fault. Then the folder with the histories and the logs is kept.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from chaos import checks, report, tables
from chaos.crowd import OBSERVERS, People, people
from chaos.history import History, Writer
from chaos.people import ROLES
from chaos.pulse import be_quiet, pulse
from chaos.scene import HOLD_SECONDS, Scene, scene
from chaos.storm import storm
from chaos.weather.kinds import WEATHER
from dev.signals import exit_on_stop_signals

BEFORE_SECONDS = 3.0
"""People are at work before the first fault."""

QUIET_SECONDS = HOLD_SECONDS + 3.0
"""After the last request: all holds have expired, and watchers have heard of it."""


def main() -> None:
    """Run everything and exit."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of faults; default: 600")
    parser.add_argument("--seed", type=int, help="for the same again; by default a random one")
    parser.add_argument("--weather", default="", help="names, separated by commas; default: all")
    arguments = parser.parse_args()
    names = arguments.weather.split(",") if arguments.weather else list(WEATHER)
    if unknown := set(names) - set(WEATHER):
        sys.exit(f"no such weather: {', '.join(sorted(unknown))}; there is {', '.join(WEATHER)}")
    for name in [name for name in names if not WEATHER[name].possible()]:
        print(f"{name}: not possible on this machine")
        names.remove(name)
    exit_on_stop_signals(1)
    seed = secrets.randbelow(10_000) if arguments.seed is None else arguments.seed
    sys.exit(run(seed, arguments.seconds, names))


def run(seed: int, seconds: float, names: Sequence[str]) -> int:
    """Run it and print what happened. Returns the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="ticket-chaos-"))
    print(f"seed {seed}, in {folder}", flush=True)
    with (
        scene(folder) as stage,
        people(folder, seed) as crowd,
        closing(Writer(folder / "faults.jsonl")) as writer,
        pulse(writer, stage.pids) as felt,
    ):
        time.sleep(BEFORE_SECONDS)
        storm(stage, writer, seed, seconds, names)
        found = _end(stage, crowd, folder)
    history = History.read(folder)
    print(*report.table(history), "", sep="\n")
    found += report.faults_of(history, folder, felt.slowdown)
    found += [f"{violation.rule}: {violation.what}" for violation in checks.check(folder)]
    print(f"{len(history.records)} records, {len(history.faults)} faults")
    if (slowdown := felt.slowdown()) > 1:
        print(f"The machine was too busy; times were allowed to be {slowdown:.1f} times as long.")
    if found:
        print(*found, sep="\n")
        print(f"FAILED: {len(found)} faults. Seed {seed}; histories and logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    print(f"All was well (seed {seed}).")
    return 0


def _end(stage: Scene, crowd: People, folder: Path) -> list[str]:
    """Let the people go home, the observers last. Returns what the service's own audit finds."""
    crowd.stop([role for role in ROLES if role not in OBSERVERS])
    be_quiet(QUIET_SECONDS)
    tables.dump(stage.target, folder)
    crowd.stop(OBSERVERS)
    return [f"the audit: {fault}" for fault in stage.audit()]


if __name__ == "__main__":
    main()
