"""One measurement: connections that send requests without a pause, counted after a warm-up."""

from __future__ import annotations

import os
import statistics
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from bench.seller import Sale, Sales, Seller
from bench.wire import Connection, LoadFailed, Loop

CONNECTIONS = 32
"""Keep-alive connections of the readers or buyers."""

WARM_UP = 1 / 6
"""The length of the warm-up, as a part of the measured time. The first answers fill caches and open
database connections."""


@dataclass(frozen=True)
class Measurement:
    """What a server did under load."""

    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float
    elapsed: float
    """Seconds, with the warm-up; the following numbers include it too."""
    statuses: Counter[int]
    """How many answers of each status."""
    generator_cpu: float
    """How much of a core the generator used, 0 to 1."""
    cores_busy: float
    """How busy the generator's cores were with all processes there, 0 to 1."""
    sales: Sales | None
    """What was sold meanwhile, if anything."""


def measure(
    ports: Sequence[int],
    requests: Iterator[bytes],
    seconds: float,
    sales: Iterator[Sale] | None = None,
    *,
    connections: int = CONNECTIONS,
) -> Measurement:
    """Load the servers on these ports of this machine, and meanwhile make the `sales`, if any.

    A connection goes to one of the servers, in turn, and stays there. Raises LoadFailed.
    """
    try:
        with Loop() as loop:
            seller = Seller(loop, ports[0], sales) if sales else None
            open_to = [ports[number % len(ports)] for number in range(connections)]
            return Load(loop, open_to, requests, seconds, seller).run()
    except OSError as error:
        raise LoadFailed(f"the server cannot be reached: {error}") from error


class Load:
    """The readers or buyers of one measurement. It ends early when the requests are used up."""

    def __init__(
        self,
        loop: Loop,
        ports: Sequence[int],
        requests: Iterator[bytes],
        seconds: float,
        seller: Seller | None,
    ) -> None:
        """`ports`: one for each connection."""
        self._loop = loop
        self._requests = requests
        self._seller = seller
        self._connections = [loop.open(port, self._answered) for port in ports]
        self._times = array("d")
        self._statuses: Counter[int] = Counter()
        self._begin = time.perf_counter() + seconds * WARM_UP
        self._end = self._begin + seconds

    def run(self) -> Measurement:
        """Send requests until the time is over, and wait for the last answers. Raises
        LoadFailed."""
        started, used, busy = time.perf_counter(), time.process_time(), busy_seconds()
        for connection in self._connections:
            self._ask(connection, started)
        self._loop.run(self._tick)
        elapsed = time.perf_counter() - started
        used = time.process_time() - used
        busy = busy_seconds() - busy
        if len(self._times) < 2:
            raise LoadFailed("hardly an answer came in the measured time")
        percentiles = statistics.quantiles(self._times, n=100)
        return Measurement(
            rate=len(self._times) / (self._end - self._begin),
            p50_ms=percentiles[49] * 1000,
            p99_ms=percentiles[98] * 1000,
            elapsed=elapsed,
            statuses=self._statuses,
            generator_cpu=used / elapsed,
            cores_busy=busy / elapsed / len(os.sched_getaffinity(0)),
            sales=self._seller.report(elapsed) if self._seller else None,
        )

    def _tick(self, now: float) -> bool:
        going = now < self._end
        if going and self._seller:
            self._seller.sell_what_is_due(now)
        return going

    def _ask(self, connection: Connection, now: float) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end = min(self._end, now)
            return
        watched = self._seller is not None and self._seller.watch(connection)
        connection.send(request, now, keep=watched)

    def _answered(self, connection: Connection, status: int) -> None:
        now = time.perf_counter()
        self._statuses[status] += 1
        if self._begin <= now < self._end:
            self._times.append(now - connection.sent_at)
        if self._seller and connection.body is not None:
            self._seller.seen(connection)
        if now < self._end:
            self._ask(connection, now)


def busy_seconds() -> float:
    """The seconds since the machine started in which our cores were not idle, summed."""
    times = psutil.cpu_times(percpu=True)
    ours = [times[core] for core in os.sched_getaffinity(0)]
    return sum(core.user + core.nice + core.system + core.irq + core.softirq for core in ours)
