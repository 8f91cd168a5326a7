"""A seller with a fixed pace beside the readers, and a check that they see what was sold."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.wire import Connection, Loop

SALES_PER_SECOND = 50

CONNECTIONS = 8
"""One would be too slow, as a sale waits behind the readers' requests several times."""

CHECK_EVERY = 5
"""One of so many sales is checked. Each check keeps a seat map, 750 kB, until the end."""

GZIP_MAGIC = b"\x1f\x8b"


class Sale(NamedTuple):
    """A seat, and the request that holds it."""

    seat_id: str
    request: bytes


@dataclass(frozen=True)
class Sales:
    """What the seller did during one measurement."""

    rate: float
    """Seats a second."""
    statuses: Counter[int]
    checked: int
    """Reads that were compared with the sale before them."""
    stale: int
    """Those that did not show it."""


class Seller:
    """Sells seats at a fixed pace, however long the answers take, if a connection is free."""

    def __init__(self, loop: Loop, port: int, sales: Iterator[Sale]) -> None:
        self._sales = sales
        self._idle = [loop.open(port, self._sold) for _ in range(CONNECTIONS)]
        self._selling: dict[Connection, str] = {}
        self._due = 0.0
        self._statuses: Counter[int] = Counter()
        self._unseen: str | None = None
        self._watching: dict[Connection, str] = {}
        self._seen: list[tuple[str, bytearray]] = []

    def sell_what_is_due(self, now: float) -> None:
        """Send the requests that are due. `now`: `time.perf_counter()`."""
        self._due = self._due or now
        while self._due <= now and self._idle and (sale := next(self._sales, None)):
            connection = self._idle.pop()
            self._selling[connection] = sale.seat_id
            connection.send(sale.request, now)
            self._due += 1 / SALES_PER_SECOND

    def watch(self, reader: Connection) -> bool:
        """Whether the read that starts now must show a sale that has just been confirmed.

        Then its answer must be kept and passed to `seen`.
        """
        if self._unseen is None:
            return False
        self._watching[reader] = self._unseen
        self._unseen = None
        return True

    def seen(self, reader: Connection) -> None:
        """Keep the answer of a watched read; `report` checks it, after the measurement."""
        if reader.body is not None:
            self._seen.append((self._watching.pop(reader), reader.body))

    def report(self, elapsed: float) -> Sales:
        """What was sold in `elapsed` seconds, and whether the readers saw it."""
        return Sales(
            rate=self._statuses[201] / elapsed,
            statuses=self._statuses,
            checked=len(self._seen),
            stale=sum(_status(body, seat_id) != "locked" for seat_id, body in self._seen),
        )

    def _sold(self, connection: Connection, status: int) -> None:
        self._statuses[status] += 1
        seat_id = self._selling.pop(connection)
        self._idle.append(connection)
        if status == 201 and self._statuses[201] % CHECK_EVERY == 0:
            self._unseen = seat_id


def _status(body: bytearray, seat_id: str) -> str | None:
    """The seat's status in a seat map, compressed or not; None in an error's body."""
    plain = gzip.decompress(body) if body.startswith(GZIP_MAGIC) else body
    for seat in json.loads(plain).get("seats", []):
        if seat["id"] == seat_id:
            return str(seat["status"])
    return None
