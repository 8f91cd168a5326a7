"""Keeps the status of events up to date: upcoming, on sale, sold out, ended.

Every instance does this, and skips the events that another one has locked. The status does not
decide whether something may be bought: a hold checks the times of the sale and what is left.
"""

from __future__ import annotations

import logging
import time

from cachetools import TTLCache

from ticket_service.errors import ServiceUnavailable
from ticket_service.realtime.announcer import Announcer
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.postgres import Postgres, SqlScript, is_of_transaction
from ticket_service.stores.versions import Versions

SWEEP_INTERVAL = 5.0
"""Seconds between two sweeps, which look at all events: another program may have moved a sale,
which must show within ten seconds, or changed what is left."""

BATCH = 50
"""Events in one statement, which must end within 2 s: a stadium that is sold out has many seats."""

MIN_INTERVAL = 0.25
"""Seconds between two looks, at least. A status may be late by as much."""

FAILED_SECONDS = 30
"""Seconds after which an event whose status failed to change is retried."""

_CLOCK = "statement_timestamp() AT TIME ZONE 'UTC'"

_DUE = SqlScript(
    due_events=f"""
    SELECT id::text FROM events
    WHERE status = 'upcoming' AND sale_start_date <= {_CLOCK}
    UNION
    SELECT id::text FROM events
    WHERE status IN ('upcoming', 'on_sale', 'sold_out') AND sale_end_date <= {_CLOCK}
    UNION
    SELECT id::text FROM events WHERE status = 'ended' AND sale_end_date > {_CLOCK}
"""
)

_LIVE = SqlScript(
    live_events="SELECT id::text FROM events WHERE status IN ('on_sale', 'sold_out') ORDER BY id"
)

_NEXT = SqlScript(
    next_change=f"""
    SELECT extract(epoch FROM least(
        (SELECT min(sale_start_date) FROM events WHERE status = 'upcoming'),
        (SELECT min(sale_end_date) FROM events WHERE status = 'upcoming'),
        (SELECT min(sale_end_date) FROM events WHERE status = 'on_sale'),
        (SELECT min(sale_end_date) FROM events WHERE status = 'sold_out')
    ) - {_CLOCK})::float
"""
)

SETTLE_EVENTS = SqlScript.from_file("settle_events")

log = logging.getLogger(__name__)


class EventStatus:
    """Changes the status of events."""

    def __init__(self, postgres: Postgres, versions: Versions, announcer: Announcer) -> None:
        self._postgres = postgres
        self._versions = versions
        self._announcer = announcer
        self._touched: set[str] = set()
        self._failed: TTLCache[str, None] = TTLCache(10_000, FAILED_SECONDS)
        self._sweep_at = 0.0
        self._next_at = 0.0
        self._look_again = False

    def touch(self, event_id: str) -> None:
        """Look at this event in the next round, since its seats or its stock changed."""
        self._touched.add(event_id)

    def look_again(self) -> None:
        """Look at all events in the next round, also at those that could not be moved."""
        self._look_again = True

    def move(self) -> int:
        """Change the status of events at the times of their sale, and when they sell out or are
        available again. Returns how many changed. Raises ServiceUnavailable."""
        now = time.monotonic()
        if self._look_again:
            self._look_again = False
            self._sweep_at = 0.0
            self._failed.clear()
        sweep = now >= self._sweep_at
        touched, self._touched = self._touched, set()
        moved = 0
        try:
            if sweep or now >= self._next_at:
                moved += self._settle([id_ for (id_,) in self._postgres.transaction(_DUE)])
                [(seconds,)] = self._postgres.transaction(_NEXT)
                self._next_at = now + (
                    SWEEP_INTERVAL if seconds is None else max(MIN_INTERVAL, seconds)
                )
            moved += self._settle(sorted(touched))
        except ServiceUnavailable:
            self._touched |= touched
            raise
        if sweep:
            self._sweep_at = now + SWEEP_INTERVAL
            live = [id_ for (id_,) in self._postgres.transaction(_LIVE)]
            for start in range(0, len(live), BATCH):
                moved += self._settle(live[start : start + BATCH])
        return moved

    def _settle(self, event_ids: list[str]) -> int:
        """Change the status of these events: together, or if that fails, one by one."""
        event_ids = [id_ for id_ in event_ids if id_ not in self._failed]
        try:
            return self._settle_together(event_ids) if event_ids else 0
        except Exception as error:
            if not is_of_transaction(error):
                raise
            log.exception("events not moved together")
            moved = for_each_event(
                "event-status", event_ids, lambda id_: self._settle_together([id_])
            )
            self._failed.update(dict.fromkeys(set(event_ids) - moved.keys()))
            return sum(moved.values())

    def _settle_together(self, event_ids: list[str]) -> int:
        rows = self._postgres.transaction(SETTLE_EVENTS, {"event_ids": event_ids})
        for event_id, _ in rows:
            self._versions.change(event_id)
            self._announcer.status_changed(event_id)
        return len(rows)
