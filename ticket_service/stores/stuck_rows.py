"""Limits the connections that wait for rows which another program keeps locked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cachetools import LRUCache
from gevent.event import Event
from psycopg2 import errors

from ticket_service.stores import deadline as request_deadline

Rows = tuple[str, ...]
"""The ids of rows that a transaction may have to wait for."""

MAX_REMEMBERED = 1_000
"""Sets of stuck rows that are remembered; beyond that the least recently used are forgotten."""

WAIT_TIMEOUT = 1.0
"""Seconds to wait for another attempt at the same rows. Clients that were refused at once would
retry at once, and use up the processor."""

MAX_WAITING = 500
"""Greenlets that may wait for other attempts."""

log = logging.getLogger(__name__)


class _Attempt:
    """A transaction that may wait for rows."""

    overtaken = False
    """Whether another attempt at the same rows succeeded meanwhile."""


class StuckRows:
    """Lets one transaction at a time try stuck rows; the others wait without a connection.

    Rows are *stuck* from a lock time-out until a transaction on them succeeds. Transactions on
    stuck rows use at most `limit` connections together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stuck: LRUCache[Rows, None] = LRUCache(MAX_REMEMBERED)
        self._attempts: dict[Rows, list[_Attempt]] = {}
        self._waiting = 0
        self._ended = Event()

    def wait(self, rows: Rows) -> bool:
        """Wait until these rows may be tried. Returns False after WAIT_TIMEOUT, or at once if too
        many wait already."""
        deadline = time.monotonic() + request_deadline.left(WAIT_TIMEOUT)
        while self.refuses(rows):
            left = deadline - time.monotonic()
            if left <= 0 or self._waiting >= MAX_WAITING:
                return False
            self._waiting += 1
            try:
                self._ended.wait(left)
            finally:
                self._waiting -= 1
        return True

    def refuses(self, rows: Rows) -> bool:
        """Whether these rows are stuck, and may not be tried now."""
        if rows not in self._stuck:
            return False
        trying = sum(other in self._stuck for other in self._attempts)
        return rows in self._attempts or trying >= self._limit

    @contextmanager
    def attempt(self, rows: Rows) -> Iterator[None]:
        """Wrap a transaction on these rows: how it ends decides whether they are stuck."""
        mine = _Attempt()
        attempts = self._attempts.setdefault(rows, [])
        attempts.append(mine)
        try:
            yield
        except (errors.LockNotAvailable, errors.QueryCanceled):
            # If another attempt succeeded meanwhile, this one waited for something else.
            if not mine.overtaken:
                log.warning("rows locked by another program", extra={"rows": rows})
                self._stuck[rows] = None
            raise
        else:
            self._stuck.pop(rows, None)
            for attempt in attempts:
                attempt.overtaken = True
        finally:
            attempts.remove(mine)
            if not attempts:
                del self._attempts[rows]
            ended, self._ended = self._ended, Event()
            ended.set()
