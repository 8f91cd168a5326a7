"""Measures the release of very many holds that expire at the same moment."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from urllib.request import urlopen

import psycopg2

from bench.data import Item
from bench.load import measure
from bench.rig import Server

HOLDS = 10_000

RELEASE_TIMEOUT = 30.0
"""Seconds to wait for all holds to be released."""

# Each hold is one ticket of the type that everyone buys meanwhile, which is the worst case.
_MAKE_HOLDS = """
    WITH made AS (
        INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, status,
                                  payment_status, expires_at)
        SELECT gen_random_uuid(), %(event_id)s, gen_random_uuid()::text, 1000, 'pending',
               'pending', %(end)s
        FROM generate_series(1, %(holds)s)
        RETURNING id
    )
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal)
    SELECT id, %(ticket_type_id)s, 1, 1000, 1000 FROM made
    RETURNING reservation_id::text
"""

_END = "SELECT clock_timestamp() AT TIME ZONE 'UTC' + interval '4 seconds'"

_LEFT = "SELECT extract(epoch FROM %s - clock_timestamp() AT TIME ZONE 'UTC')"

_LAGS = """
    SELECT count(*) FILTER (WHERE status = 'pending'),
           extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY updated_at - %(end)s)),
           extract(epoch FROM max(updated_at) - %(end)s)
    FROM reservations WHERE id = ANY (%(ids)s::uuid[])
"""


@dataclass(frozen=True)
class Release:
    """The result."""

    lag_p99: float
    """Seconds from the end of a hold to its release, 99th percentile."""
    took: float
    """Seconds to the last release."""
    quiet: float
    """Sales a second before it."""
    meanwhile: float
    """Sales a second while the holds were released."""
    histogram: dict[str, int]
    """How many of all holds of this run were released within so many seconds."""

    def remark(self) -> str:
        """The result in a sentence."""
        good = self.took < 10 and self.meanwhile > self.quiet / 2
        within = ", ".join(f"{count:,} within {s} s" for s, count in self.histogram.items())
        return (
            f"{HOLDS:,} holds of one ticket type that ended together were released within"
            f" {self.took:.2f} s (must: 10), p99 {self.lag_p99:.2f} s, {within}; buyers of it got"
            f" {self.meanwhile:,.0f} tickets a second meanwhile, {self.meanwhile / self.quiet:.0%}"
            f" of {self.quiet:,.0f} (must: 50%): {'reached' if good else 'MISSED'}"
        )


def release(
    server: Server,
    database_url: str,
    ticket_type: Item,
    buyers: Callable[[], Iterable[bytes]],
    seconds: float,
) -> Release:
    """Let the holds run out while buyers buy. Raises psycopg2.Error, LoadFailed."""
    quiet = measure([server.port], iter(buyers()), seconds).rate
    rush = iter(buyers())
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_END)
        [(end,)] = cursor.fetchall()
        values = {"event_id": ticket_type.event_id, "ticket_type_id": ticket_type.id}
        cursor.execute(_MAKE_HOLDS, {**values, "end": end, "holds": HOLDS})
        ids = [row[0] for row in cursor]
        cursor.execute(_LEFT, [end])
        [(left,)] = cursor.fetchall()
        time.sleep(max(0.0, float(left) - seconds / 3))
        meanwhile = measure([server.port], rush, seconds).rate
        deadline = time.monotonic() + RELEASE_TIMEOUT
        while True:
            cursor.execute(_LAGS, {"end": end, "ids": ids})
            [(pending, lag_p99, took)] = cursor.fetchall()
            if not pending or time.monotonic() > deadline:
                return Release(float(lag_p99), float(took), quiet, meanwhile, _histogram(server))
            time.sleep(0.2)


def _histogram(server: Server) -> dict[str, int]:
    """The service's own histogram: how many holds, by seconds."""
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'ticket_expiry_lag_seconds_bucket{le="([\d.]+)"} ([\d.]+)', text)
    return {bound: int(float(count)) for bound, count in found}
