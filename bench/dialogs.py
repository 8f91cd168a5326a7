"""The row of people who wait: their pages connect, join the line, hear their place and close."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.lines import Lines
from bench.load import WARM_UP, Measurement, busy_seconds
from bench.report import Result
from bench.rig import Plan, Server
from bench.rows import Row
from bench.socket_load import Listener
from bench.wire import LoadFailed
from dev.make_token import make_token

PAGES = 16
"""Connections that are opened at once."""

HEALTH_INTERVAL = 0.01
"""Seconds between two calls of /health meanwhile."""

ROW = Row("connections of waiting people", None, None, list)


@dataclass(frozen=True)
class Dialogs:
    """One measurement."""

    result: Result
    health_p99_ms: float
    """Of the calls of /health meanwhile."""


def remark(rounds: Sequence[Dialogs]) -> str:
    """What the table does not show."""
    worst = max(dialogs.health_p99_ms for dialogs in rounds)
    return (
        "A connection of a waiting person: a new WebSocket, join-queue, its answer, the end;"
        f" {PAGES} at once; meanwhile /health had a p99 of {worst:.1f} ms (must: under 100)"
    )


def measure(plan: Plan, server: Server, lines: Lines, yardstick: Result) -> Dialogs:
    """Connect as fast as the server carries it, as people of the short line in turn. Raises
    LoadFailed."""
    event_id, y = lines.short.event_id, yardstick.measurement.rate
    turns = itertools.cycle(
        [make_token(user_id, "user", plan.jwt_secret) for user_id in lines.askers]
    )
    begin = time.perf_counter() + plan.seconds * WARM_UP
    end = begin + plan.seconds
    started, own, used = time.perf_counter(), time.process_time(), server.cpu_seconds()
    busy = busy_seconds()
    with ThreadPoolExecutor(PAGES + 1) as pool:
        health = pool.submit(_health, server, begin, end)
        lock = threading.Lock()
        pages = [
            pool.submit(_pages, server.port, event_id, turns, lock, begin, end)
            for _ in range(PAGES)
        ]
    times = array("d", itertools.chain.from_iterable(page.result() for page in pages))
    elapsed = time.perf_counter() - started
    if len(times) < 2:
        raise LoadFailed("hardly a connection was made in the measured time")
    percentiles = statistics.quantiles(times, n=100)
    measurement = Measurement(
        rate=len(times) / plan.seconds,
        p50_ms=percentiles[49] * 1000,
        p99_ms=percentiles[98] * 1000,
        elapsed=elapsed,
        statuses=Counter(),
        generator_cpu=(time.process_time() - own) / elapsed,
        cores_busy=(busy_seconds() - busy) / elapsed / len(os.sched_getaffinity(0)),
        sales=None,
    )
    cpu = (server.cpu_seconds() - used) / elapsed
    result = Result(ROW, measurement, cpu, ratio=measurement.rate / y, script_us=0.0)
    return Dialogs(result, statistics.quantiles(health.result(), n=100)[98] * 1000)


def _pages(
    port: int,
    event_id: str,
    turns: Iterator[str],
    lock: threading.Lock,
    begin: float,
    end: float,
) -> array[float]:
    """Open one connection after the other. Returns the seconds that each took."""
    times = array("d")
    while (now := time.perf_counter()) < end:
        with lock:
            token = next(turns)
        try:
            Listener(port, token, event_id, join="join-queue").socket.close()
        except OSError as error:
            raise LoadFailed(f"the server cannot be reached: {error}") from error
        if now >= begin:
            times.append(time.perf_counter() - now)
    return times


def _health(server: Server, begin: float, end: float) -> array[float]:
    """Call /health again and again. Returns the seconds that each call took."""
    times = array("d")
    while (now := time.perf_counter()) < end:
        server.get("/health")
        if now >= begin:
            times.append(time.perf_counter() - now)
        time.sleep(HEALTH_INTERVAL)
    return times
