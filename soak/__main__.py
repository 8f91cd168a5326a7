"""`make soak`: a steady sale at half of what an instance carries. Nothing may grow meanwhile.

The exit status is 1 if something grew, an answer was wrong, or the books do not balance.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
from redis import RedisError

from bench import data, machine, purchases, rig
from bench.data import Data, Item
from bench.rig import Cores, Server
from bench.rows import bearer, get_request, new_token, post_request
from bench.wire import LoadFailed
from dev.make_token import make_token
from dev.processes import ProcessFailed
from dev.signals import exit_on_stop_signals
from soak import report
from soak.buyers import Buyers
from soak.client import Client, Record
from soak.pages import Pages
from soak.samples import probe, sampled
from ticket_service.config import ConfigError

INSTANCE = "soak.instance:app"

HOLD_SECONDS = 30
"""How long a hold lasts, so that many expire."""

SETTINGS = {
    "HOLD_TTL_SECONDS": str(HOLD_SECONDS),
    "QUEUE_TTL_SECONDS": "60",
    "QUEUE_NO_SHOW_SECONDS": "10",
    "QUEUE_MAX_STAY_SECONDS": "120",
}

SHARE = 0.5
"""How many buyers begin a second, as a part of the most that the instance carries."""

PEAK_SECONDS = 10.0
"""How long the most is measured."""

TOKENS = 20_000
"""How many tokens an instance caches."""

WATCHING, IN_LINE, THRESHOLD = 60, 150, 20
"""Pages in a hall; pages in the line of another event, and how many may be inside there."""

_TICKET_TYPE = """
    INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)
    VALUES (%s, 'After the line', 1000, 100000, 100000) RETURNING id::text
"""


def main() -> None:
    """Run the soak and exit."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    seconds = parser.parse_args().seconds
    if sys.platform != "linux":
        sys.exit("make soak: pinning to cores and epoll need Linux.")
    exit_on_stop_signals("make soak: stopped.")
    try:
        sys.exit(run(seconds))
    except (ConfigError, LoadFailed, ProcessFailed, psycopg2.Error, RedisError) as error:
        sys.exit(f"make soak: {error}")


def run(seconds: float) -> int:
    """Run the sale and print what it left. Returns the exit status."""
    secret, service_token = rig.settings()
    cores = Cores.split()
    os.sched_setaffinity(0, cores.ours)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticket-soak-")))
        stores = stack.enter_context(rig.stores(folder))
        print(*machine.facts(cores, stores, data.describe(stores.database_url)), sep="\n")
        content = data.load(stores.database_url, purchases.supply(PEAK_SECONDS))
        service = stack.enter_context(rig.service(folder, cores, stores, INSTANCE, **SETTINGS))
        seats = iter(content.free_seats)
        _fill_cache(service, content, secret)
        those = (purchases.purchase(seat, secret, service_token) for seat in seats)
        most = purchases.buy([service.port], those, PEAK_SECONDS, None).rate
        print(
            f"{most:.0f} purchases/s at most; {SHARE * most:.0f} for {seconds:,.0f} s", flush=True
        )
        record = Record()
        buyers = Buyers(service.port, record, seats, content.ticket_type, secret, service_token)
        line = _line(stores.database_url, service, content.queued_ids[0], secret)
        end = time.monotonic() + seconds
        pages = Pages(service.port, record, secret, end)
        pages.watch(content.free_seats[-1].event_id, WATCHING)
        pages.line_up(line, IN_LINE)
        with sampled(stack.enter_context(probe(service, stores)), seconds) as samples:
            buyers.run(SHARE * most, end)
        pages.join()
        time.sleep(HOLD_SECONDS + 5)  # until every hold has expired
        books = _audit(service, service_token)
    return report.conclude(samples, record, buyers.late, books)


def _fill_cache(service: Server, content: Data, secret: str) -> None:
    """Let very many people ask once, since the instance caches their tokens: it would otherwise
    grow for longer than the warm-up."""
    path = f"/api/v1/queue/status/{content.ticket_type.event_id}"

    def visit() -> purchases.Purchase:
        yield purchases.Step("status", get_request(path, bearer(new_token(secret))))

    purchases.buy([service.port], (visit() for _ in range(TOKENS)), 600, None)


def _line(database_url: str, service: Server, event_id: str, secret: str) -> Item:
    """Sell tickets of this event too, to few at a time."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_TICKET_TYPE, [event_id])
        [(ticket_type,)] = cursor.fetchall()
    admin = bearer(make_token(str(uuid.uuid4()), "admin", secret))
    path, change = f"/api/v1/queue/admin/{event_id}", {"threshold": THRESHOLD}
    request = post_request(path, change, admin).replace(b"POST", b"PUT", 1)
    Client(service.port, Record()).ask("threshold", request)
    return Item(event_id, ticket_type)


def _audit(service: Server, service_token: str) -> bytes:
    """What the service says of its books."""
    request = get_request("/api/v1/internal/audit", f"X-Internal-Token: {service_token}")
    return Client(service.port, Record()).ask("audit", request).body


if __name__ == "__main__":
    main()
