"""The first part of a run: what a whole purchase and each call cost, compared with Y."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from bench import data, dialogs, machine, purchases, report, rig, sockets
from bench.expiry import Release, release
from bench.lines import ASKERS, Lines, lines
from bench.load import measure
from bench.report import Result
from bench.rig import Outcome, Plan, Server, Stores
from bench.rows import YARDSTICK, Row, rows, supply
from bench.scripts import ScriptTime
from bench.sockets import Room

LONG_LINE = 1_000_000
"""People in the long line."""


@dataclass
class Measured:
    """The rounds of all rows."""

    room: Room
    queued: Lines
    ended: Release
    results: list[list[Result]]
    bought: list[purchases.Round]
    waiting: list[dialogs.Dialogs]

    def outcome(self) -> Outcome:
        """Print the rows, and return the figures."""
        print(*purchases.table(self.bought), "", *report.table(self.results), sep="\n")
        print(*self.room.remarks(), dialogs.remark(self.waiting), self.ended.remark(), sep="\n")
        print(*report.remarks(self.results, self.queued), sep="\n", flush=True)
        return Outcome(
            figures=[*purchases.figures(self.bought), *report.figures(self.results)],
            faults=report.faults(self.results) + purchases.faults(self.bought),
        )


def run(plan: Plan) -> Outcome:
    """Measure all rows. Raises LoadFailed, ProcessFailed, psycopg2.Error, RedisError."""
    with ExitStack() as stack:
        stores = stack.enter_context(rig.stores(plan.folder))
        facts = machine.facts(plan.cores, stores, data.describe(stores.database_url))
        print(*facts, _ceiling(plan), sep="\n", flush=True)
        wanted = (supply(plan.seconds) + purchases.supply(plan.seconds)) * plan.rounds
        content = data.load(stores.database_url, wanted)
        yardstick = stack.enter_context(rig.yardstick(plan.folder, plan.cores))
        room = _room(plan, stores, content.ticket_type.event_id, yardstick)
        redis = stack.enter_context(Redis.from_url(stores.redis_url, decode_responses=True))
        people = plan.sized(LONG_LINE, least=ASKERS)
        queued = stack.enter_context(lines(redis, content, people))
        service = stack.enter_context(rig.service(plan.folder, plan.cores, stores))
        free_seats = iter(content.free_seats)
        table = rows(content, free_seats, queued, service, plan.jwt_secret, plan.seconds)
        meter = Meter(service, yardstick, redis, plan.seconds)
        results, waiting, bought = [], [], []
        for number in range(plan.rounds):
            print(f"Round {number + 1} of {plan.rounds}", flush=True)
            measured = meter.round(table)
            bought.append(purchases.measure(plan, service.port, free_seats, measured[0]))
            waiting.append(dialogs.measure(plan, service, queued, measured[0]))
            results.append([*measured, *room.results[number], waiting[-1].result])
        [buyers] = [row.requests for row in table if row.name.startswith("POST /reservations")]
        ended = release(service, stores.database_url, content.ticket_type, buyers, plan.seconds)
    return Measured(room, queued, ended, results, bought, waiting).outcome()


def _room(plan: Plan, stores: Stores, event_id: str, yardstick: Server) -> Room:
    """All rounds of the rows of WebSockets, on an instance of their own."""
    yardsticks = [lambda: constant(yardstick, plan.seconds)] * plan.rounds
    with rig.service(plan.folder, plan.cores, stores) as fresh:
        return sockets.measure(
            fresh, stores.redis_url, event_id, plan.jwt_secret, plan.seconds, yardsticks
        )


def _ceiling(plan: Plan) -> str:
    """How fast the load generator is."""
    with rig.ceiling(plan.folder, plan.cores) as server:
        rate = constant(server, plan.seconds)
    return f"Load generator: {rate:,.0f} requests/s from a server that only answers"


def constant(server: Server, seconds: float) -> float:
    """Requests a second that a server with a constant answer answers now. Raises LoadFailed."""
    return measure([server.port], iter(YARDSTICK.requests()), seconds).rate


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
        measurement = measure([server.port], requests, self.seconds, row.sales)
        used = server.cpu_seconds() - used
        rate = yardstick.measurement.rate if yardstick else measurement.rate
        return Result(
            row,
            measurement,
            cpu=used / measurement.elapsed,
            ratio=measurement.rate / rate,
            script_us=ScriptTime.read(self.redis).each_since(scripts),
        )
