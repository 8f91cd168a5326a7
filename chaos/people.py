"""A process of people: `python -m chaos.people ROLE --target target.json --seed N --out FILE`.

It runs until SIGTERM. Then each person ends the request under way, and the process exits with 0.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread

from chaos import people_line, people_sale, people_sample, people_watch
from chaos.history import Writer
from chaos.people_calls import Crowd
from chaos.target import Target

ROLES = ("buyers", "payers", "cancellers", "line", "watchers", "sampler")

TRADERS = 3
"""People of each kind who buy from each event at the same time. All kinds together are less than
half of those who may be inside."""

IN_LINE = 2.5
"""People in front of the crowded event, as a multiple of those who may be inside."""

WATCHERS = 6


def tasks(crowd: Crowd) -> Sequence[Callable[[], None]]:
    """What the people of this role do, each in a thread of their own."""
    target = crowd.target
    match crowd.role:
        case "line":
            count = int(target.threshold * IN_LINE)
            return [partial(people_line.queue, crowd)] * count
        case "watchers":
            watchers = [people_watch.Watcher(crowd, asks=n % 2 == 0) for n in range(WATCHERS)]
            return [watcher.watch for watcher in watchers]
        case "sampler":
            return [partial(people_sample.sample, crowd)]
        case _:
            stages = (target.hall, target.standing)
            return [partial(people_sale.trade, crowd, stage) for stage in stages] * TRADERS


def main() -> None:
    """Run the people of one role."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    crowd = Crowd(
        Target.load(arguments.target), arguments.role, Writer(arguments.out), arguments.seed
    )
    signal.signal(signal.SIGTERM, lambda *_: crowd.stopping.set())
    threads = [Thread(target=task) for task in tasks(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    crowd.writer.close()


if __name__ == "__main__":
    main()
