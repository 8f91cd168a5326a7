"""`make bench`: measure what one request costs, compared with the yardstick.

The exit status is 1 if a request got an error or a read was stale. A `must` that is missed is only
printed, since times depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import psycopg2
from redis import Redis, RedisError

from bench import data, dialogs, machine, purchases, report, rig, sockets
from bench.expiry import release
from bench.lines import ASKERS, lines
from bench.load import measure
from bench.report import Result
from bench.rig import Cores, Server
from bench.rows import YARDSTICK, Row, rows, supply
from bench.scripts import ScriptTime
from bench.wire import LoadFailed
from dev.processes import ProcessFailed
from dev.workspace import STOP_SIGNALS
from ticket_service.config import ConfigError


def main() -> None:
    """Run the benchmark and exit."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="the table shows their medians")
    parser.add_argument(
        "--line",
        type=int,
        default=1_000_000,
        help=f"people in the long line, {ASKERS} at least",
    )
    arguments = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("make bench: pinning to cores and epoll need Linux.")
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        sys.exit(run(arguments.seconds, arguments.rounds, arguments.line))
    except (ConfigError, LoadFailed, ProcessFailed, psycopg2.Error, RedisError) as error:
        sys.exit(f"make bench: {error}")


def run(seconds: float, rounds: int, people: int) -> int:
    """Measure everything and print it. Returns the exit status."""
    secret, service_token = _settings()
    cores = Cores.split()
    os.sched_setaffinity(0, cores.ours)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticket-bench-")))
        stores = stack.enter_context(rig.stores(folder))
        print(*machine.facts(cores, stores, data.describe(stores.database_url)), sep="\n")
        print(_ceiling(folder, cores, seconds))
        wanted = (supply(seconds) + purchases.supply(seconds)) * rounds
        content = data.load(stores.database_url, wanted)
        free_seats = iter(content.free_seats)
        yardstick = stack.enter_context(rig.yardstick(folder, cores))
        with rig.service(folder, cores, stores) as fresh:
            constants = [lambda: constant(yardstick, seconds)] * rounds
            room = sockets.measure(
                fresh, stores.redis_url, content.ticket_type.event_id, secret, seconds, constants
            )
        redis = stack.enter_context(Redis.from_url(stores.redis_url, decode_responses=True))
        queued = stack.enter_context(lines(redis, content, people))
        service = stack.enter_context(rig.service(folder, cores, stores))
        meter = Meter(service, yardstick, redis, seconds)
        table = rows(content, free_seats, queued, service, secret, seconds)
        buy = partial(purchases.measure, service.port, free_seats, secret, service_token, seconds)
        results, waiting, bought = [], [], []
        for number in range(1, rounds + 1):
            print(f"Round {number} of {rounds}", flush=True)
            measured = meter.round(table)
            bought.append(buy(measured[0]))
            waiting.append(dialogs.measure(service, queued, secret, seconds, measured[0]))
            results.append([*measured, *room.results[number - 1], waiting[-1].result])
        [buyers] = [row.requests for row in table if row.name.startswith("POST /reservations")]
        ended = release(service, stores.database_url, content.ticket_type, buyers, seconds)
    print(*purchases.table(bought), "", sep="\n")
    print(
        *report.table(results), *room.remarks(), dialogs.remark(waiting), ended.remark(), sep="\n"
    )
    print(*report.remarks(results, queued), sep="\n")
    return int(report.faults(results) + purchases.faults(bought) > 0)


def _ceiling(folder: Path, cores: Cores, seconds: float) -> str:
    """How fast the load generator is."""
    with rig.ceiling(folder, cores) as server:
        rate = measure(server.port, iter(YARDSTICK.requests()), seconds).rate
    return f"Load generator: {rate:,.0f} requests/s from a server that only answers"


def _settings() -> tuple[str, str]:
    """Set the environment of all that is started. Returns the secret of tokens, and the token of
    other services."""
    secret, service_token = secrets.token_hex(32), secrets.token_hex(32)
    os.environ.update(ENVIRONMENT="development", DB_SCHEMA="public")
    os.environ.update(JWT_ALGORITHM="HS256", JWT_SECRET=secret, INTERNAL_API_TOKEN=service_token)
    return secret, service_token


def constant(yardstick: Server, seconds: float) -> float:
    """Requests a second that the yardstick answers now."""
    return measure(yardstick.port, iter(YARDSTICK.requests()), seconds).rate


@dataclass(frozen=True)
class Meter:
    """Measures rows on the running servers."""

    service: Server
    constant: Server
    redis: Redis
    seconds: float

    def round(self, table: list[Row]) -> list[Result]:
        """Measure the yardstick, then every row."""
        yardstick = self._measured(self.constant, YARDSTICK)
        others = [self._measured(self.service, row, yardstick) for row in table]
        return [yardstick, *others]

    def _measured(self, server: Server, row: Row, yardstick: Result | None = None) -> Result:
        requests = iter(row.requests())
        used, scripts = server.cpu_seconds(), ScriptTime.read(self.redis)
        measurement = measure(server.port, requests, self.seconds, row.sales)
        used = server.cpu_seconds() - used
        rate = yardstick.measurement.rate if yardstick else measurement.rate
        return Result(
            row,
            measurement,
            cpu=used / measurement.elapsed,
            ratio=measurement.rate / rate,
            script_us=ScriptTime.read(self.redis).each_since(scripts),
        )


def _stop(number: int, frame: FrameType | None) -> None:
    """Exit through every `with` block. Further signals are ignored, so that nothing stays
    behind."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit("make bench: stopped.")


if __name__ == "__main__":
    main()
