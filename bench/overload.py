"""What an instance does when four times as much is asked as it can answer.
`python -m bench.overload`.

Everybody holds one ticket, on a connection of their own. First as many hold as it carries, then
four times as many come for two minutes, and a minute later as many as before.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import data, machine, rig
from bench.crowd import Crowd
from bench.repeated import repeated
from bench.rig import Cores, Server
from bench.rows import hold_ticket, new_token

TIMES = 4
"""How many times as much is asked as can be answered."""

MUST_SHARE, MUST_LIVE_MS = 0.8, 100
"""The part of the most that is answered meanwhile, and the time of /health/live."""

BUYERS = 20_000
"""Each may hold any number of tickets here."""

SETTINGS = {"MAX_LIVE_TICKETS_PER_BUYER": "1000000"}

PROBE_INTERVAL = 0.05
"""Seconds between two calls of /health/live."""


@dataclass(frozen=True)
class Phase:
    """What was answered in one phase."""

    answered: float
    """Holds a second."""
    refused: float
    lost: float
    p99_ms: float
    """Of the holds that were made."""
    refused_p99_ms: float
    live_p99_ms: float
    memory_mib: float
    """Of the worker, in the end."""

    def sentence(self, name: str) -> str:
        """The result in a line."""
        return (
            f"{name:<10} {self.answered:,.0f} holds/s, p99 {self.p99_ms:,.0f} ms; refused"
            f" {self.refused:,.0f}/s, p99 {self.refused_p99_ms:,.0f} ms; lost {self.lost:,.0f}/s;"
            f" /health/live p99 {self.live_p99_ms:,.0f} ms; memory {self.memory_mib:,.0f} MiB"
        )


def main() -> None:
    """Measure, print and exit. The exit status says nothing of times."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the overload")
    seconds = parser.parse_args().seconds
    secret, _ = rig.settings()
    cores = Cores.split()
    os.sched_setaffinity(0, cores.ours)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ticket-bench-", dir=machine.data_folder())
            )
        )
        stores = stack.enter_context(rig.stores(folder))
        print(*machine.facts(cores, stores, data.describe(stores.database_url)), sep="\n")
        content = data.load(stores.database_url, 1)
        service = stack.enter_context(rig.service(folder, cores, stores, **SETTINGS))
        buyers = (new_token(secret) for _ in range(BUYERS))
        requests = itertools.cycle([hold_ticket(content.ticket_type, buyer) for buyer in buyers])
        print(*measure(service, requests, seconds), sep="\n")


def measure(service: Server, requests: Iterator[bytes], seconds: float) -> list[str]:
    """The results of all phases."""
    _phase(service, requests, seconds / 20, None)  # fills caches
    most = _phase(service, requests, seconds / 6, None)
    before = _phase(service, requests, seconds / 6, most.answered / 2)
    during = _phase(service, requests, seconds, TIMES * most.answered)
    time.sleep(seconds / 2)
    after = _phase(service, requests, seconds / 6, most.answered / 2)
    share = during.answered / most.answered
    good = share >= MUST_SHARE and during.live_p99_ms <= MUST_LIVE_MS
    return [
        most.sentence("the most"),
        before.sentence("half of it"),
        during.sentence(f"{TIMES} times it"),
        after.sentence("half again"),
        f"Answers while {TIMES} times as much is asked: {share:.0%} of the most (must:"
        f" {MUST_SHARE:.0%}, and /health/live within {MUST_LIVE_MS} ms):"
        f" {'reached' if good else 'MISSED'}",
    ]


def _phase(service: Server, requests: Iterator[bytes], seconds: float, rate: float | None) -> Phase:
    """Ask `rate` a second, or if it is None, as much as 32 people at once get answered."""
    end = time.monotonic() + seconds
    with Crowd(service.port, requests) as crowd, _probed(service) as lives:
        if rate is None:
            crowd.at_once(32, seconds)
        else:
            crowd.paced(rate, lambda: time.monotonic() < end)
    [worker] = service.process.children()
    held = crowd.times.get(201, array("d"))
    refused = crowd.times.get(503, array("d"))
    return Phase(
        answered=len(held) / seconds,
        refused=len(refused) / seconds,
        lost=crowd.lost / seconds,
        p99_ms=_p99_ms(held),
        refused_p99_ms=_p99_ms(refused),
        live_p99_ms=_p99_ms(lives),
        memory_mib=worker.memory_info().rss / (1 << 20),
    )


@contextmanager
def _probed(service: Server) -> Iterator[Sequence[float]]:
    """The seconds of each call of /health/live while the block runs; also of those that ended
    without an answer."""
    times = array("d")

    def probe() -> None:
        began = time.perf_counter()
        with suppress(OSError):
            service.get("/health/live")
        times.append(time.perf_counter() - began)

    with repeated(probe, PROBE_INTERVAL):
        yield times


def _p99_ms(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98] * 1000 if len(times) > 1 else 0.0


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("python -m bench.overload: pinning to cores and epoll need Linux.")
    main()
