"""The third part of a run: two instances, the database alone, and what an instance takes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from redis import Redis

from bench import costs, data, holds_alone, purchases, rig
from bench.growth_calls import ASKERS
from bench.load import measure
from bench.results import Figure
from bench.rig import Cores, Outcome, Plan, Server, Stores
from bench.rows import bearer, hold_seat, new_token, post_request, supply
from bench.wire import LoadFailed
from dev.make_token import make_token

IDLE_SECONDS = 3.0
"""After which an instance that nobody uses is looked at."""

HOLDS_EACH = 1_000
"""Holds of each client of pgbench, for each second of a measurement."""

KINDS = ("purchases", "POST /seats/reserve", "POST /queue/check")


class Footprint(NamedTuple):
    """What an instance takes at one moment."""

    memory: int
    """Bytes (RSS) of the worker and its master."""
    postgres: int
    """Connections."""
    redis: int
    """Connections."""

    def text(self) -> str:
        """In words."""
        mib = self.memory / 2**20
        return f"{mib:.0f} MiB, {self.postgres} connections to PostgreSQL, {self.redis} to Redis"


@dataclass
class Installation:
    """One instance or more, and what there is to sell."""

    plan: Plan
    stores: Stores
    services: Sequence[Server]
    seats: Iterator[data.Item]
    event_id: str

    def rates(self) -> dict[str, float]:
        """How many of each of the KINDS are done a second. Raises LoadFailed."""
        plan, ports = self.plan, [service.port for service in self.services]
        secret = plan.jwt_secret
        steps = (purchases.purchase(seat, secret, plan.service_token) for seat in self.seats)
        bought = purchases.buy(ports, steps, plan.seconds, None)
        wanted = islice(self.seats, supply(plan.seconds))
        holds = [hold_seat(seat, new_token(secret)) for seat in wanted]
        held = measure(ports, iter(holds), plan.seconds)
        path = f"/api/v1/queue/check/{self.event_id}"
        tokens = (make_token(user, "user", secret) for user in ASKERS)
        checks = [post_request(path, {}, bearer(token)) for token in tokens]
        checked = measure(ports, cycle(checks), plan.seconds)
        if bought.wrong or set(held.statuses) != {201} or set(checked.statuses) != {200}:
            raise LoadFailed("wrong answers with several instances")
        return dict(zip(KINDS, (bought.rate, held.rate, checked.rate), strict=True))

    def footprint(self) -> Footprint:
        """What the first instance takes, if it is the only one."""
        process = self.services[0].process
        family = [process, *process.children()]
        with data.autocommit(self.stores.database_url) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            [(connections,)] = cursor.fetchall()
        with Redis.from_url(self.stores.redis_url) as redis:
            clients = len(redis.client_list()) - 1
        memory = sum(member.memory_info().rss for member in family)
        return Footprint(memory, connections, clients)


def run(plan: Plan) -> Outcome:
    """Measure all. Raises LoadFailed, ProcessFailed, psycopg2.Error, RedisError."""
    plan = replace(plan, seconds=plan.seconds / 2)
    seats = (2 * plan.rounds + 1) * (supply(plan.seconds) + purchases.supply(plan.seconds))
    with ExitStack() as stack:
        stores = stack.enter_context(rig.stores(plan.folder))
        content = data.load(stores.database_url, seats)
        free, event_id = iter(content.free_seats), content.ticket_type.event_id
        figures = _one_instance(plan, stores, free, event_id)
        figures += _several(plan, stores, free, event_id)
    if stores.pinned:
        figures += _postgres_alone(plan)
    return Outcome(figures, faults=0)


def _one_instance(
    plan: Plan, stores: Stores, seats: Iterator[data.Item], event_id: str
) -> list[Figure]:
    """How long it takes to be ready, and what it takes, idle and busy."""
    starts = []
    for _ in range(plan.rounds):
        began = time.perf_counter()
        with rig.service(plan.folder, plan.cores, stores):
            starts.append(time.perf_counter() - began)
    with rig.service(plan.folder, plan.cores, stores) as service:
        installation = Installation(plan, stores, [service], seats, event_id)
        time.sleep(IDLE_SECONDS)
        idle = installation.footprint()
        installation.rates()
        busy = installation.footprint()
        print(f"An instance is ready {median(starts):.1f} s after its start")
        print(f"  idle: {idle.text()}")
        print(f"  busy: {busy.text()}", flush=True)
        used = costs.table(plan, service, stores, seats, event_id) if stores.pinned else []
    return [
        *used,
        Figure("start to ready", "s", starts, higher_is_better=False),
        Figure("memory of an idle instance", "bytes", [idle.memory], higher_is_better=False),
        Figure("memory of a busy instance", "bytes", [busy.memory], higher_is_better=False),
    ]


def _several(plan: Plan, stores: Stores, seats: Iterator[data.Item], event_id: str) -> list[Figure]:
    """One instance and two, with everything else, on all cores.

    A client's connection stays at one instance. On Kubernetes the kernel decides that when the
    connection is opened, at no cost for each request; here the generator does.
    """
    everywhere = plan.cores.service | plan.cores.ours
    shared = Cores(everywhere, everywhere)
    rates: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    os.sched_setaffinity(0, everywhere)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, plan.cores.ours)
        services = [stack.enter_context(rig.service(plan.folder, shared, stores)) for _ in rates]
        for _ in range(plan.rounds):
            for count, measured in rates.items():
                used = Installation(plan, stores, services[:count], seats, event_id)
                measured.append(used.rates())
    print(f"One instance and two, with all else on the same {len(everywhere)} cores")
    figures = []
    for kind in KINDS:
        one, two = ([measured[kind] for measured in rates[count]] for count in rates)
        times = [more / less for less, more in zip(one, two, strict=True)]
        print(
            f"  {kind:<28} {median(one):>7,.0f} and {median(two):>7,.0f}/s:"
            f" {median(times):.2f} times as many",
            flush=True,
        )
        figures.append(Figure(f"two instances: {kind}", "times as many", times))
    return figures


def _postgres_alone(plan: Plan) -> list[Figure]:
    """pgbench with the script that holds seats: with the data in memory, and on the disk."""
    print("PostgreSQL and pgbench alone on one core, with the script that holds seats")
    figures = []
    with tempfile.TemporaryDirectory(prefix="ticket-bench-") as disk:
        for name, folder in (("in memory", plan.folder / "own"), ("on a disk", Path(disk) / "own")):
            runs = []
            for number in range(plan.rounds):
                place = folder / str(number)
                place.mkdir(parents=True)
                with rig.stores(place) as stores:
                    data.load(stores.database_url, 0)
                    each = round(HOLDS_EACH * plan.seconds)
                    runs.append(holds_alone.measure(stores, place, each))
            rates, costs = [run.rate for run in runs], [run.cpu_us for run in runs]
            print(
                f"  data {name}: {median(rates):,.0f} holds/s,"
                f" {median(costs):.0f} µs of PostgreSQL's processor time each",
                flush=True,
            )
            figures.append(Figure(f"PostgreSQL alone, data {name}: holds", "/s", rates))
    return figures
