"""`make bench`: measure what one request costs, how that grows, and what an instance takes.

The exit status is 1 if a request got an error or a read was stale. A `must` that is missed is only
printed, since times depend on the machine.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
from pathlib import Path

import psycopg2
from redis import RedisError

from bench import calls, growth, machine, results, rig, scaling
from bench.rig import Cores, Plan
from bench.wire import LoadFailed
from dev.processes import ProcessFailed
from dev.signals import exit_on_stop_signals
from ticket_service.config import ConfigError

PARTS = {"calls": calls.run, "growth": growth.run, "scaling": scaling.run}


def main() -> None:
    """Run the benchmark and exit."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS) + "; all if none")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="the tables show their medians")
    parser.add_argument(
        "--size", type=float, default=1.0, help="the part of the large sizes; less is quicker"
    )
    parser.add_argument("--keep", action="store_true", help="keep the result in bench/results")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(unknown)}")
    if sys.platform != "linux":
        sys.exit("make bench: pinning to cores and epoll need Linux.")
    exit_on_stop_signals("make bench: stopped.")
    try:
        sys.exit(run(arguments))
    except (ConfigError, LoadFailed, ProcessFailed, psycopg2.Error, RedisError) as error:
        sys.exit(f"make bench: {error}")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print. Returns the exit status."""
    secret, service_token = rig.settings()
    cores = Cores.split()
    os.sched_setaffinity(0, cores.ours)
    figures: list[results.Figure] = []
    faults = 0
    for part in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory(
            prefix="ticket-bench-", dir=machine.data_folder()
        ) as folder:
            plan = Plan(
                folder=Path(folder),
                cores=cores,
                seconds=arguments.seconds,
                rounds=arguments.rounds,
                size=arguments.size,
                jwt_secret=secret,
                service_token=service_token,
            )
            outcome = PARTS[part](plan)
        print(flush=True)
        figures += outcome.figures
        faults += outcome.faults
    print(*results.comparison(figures, results.last(machine.name())), sep="\n")
    if arguments.keep:
        sizes = f"{plan.rounds} rounds of {plan.seconds:g} s, size {plan.size:g}"
        today = datetime.date.today().isoformat()
        kept = results.Run(machine.name(), today, [sizes, *machine.versions()], figures)
        print(f"Kept in bench/results/{kept.keep().name}")
    return int(faults > 0)


if __name__ == "__main__":
    main()
