"""Ends the holds that expired: releases their seats and stock, and announces that.

Every instance does this, and waits for no row. If another transaction has locked a row of a hold,
the hold stays as it is, and its event is *deferred*: its holds are ended separately
(deferred_event.py), so that they delay no other event's.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import gevent
from cachetools import TTLCache
from gevent import Greenlet

from ticket_service import metrics
from ticket_service.errors import ServiceUnavailable
from ticket_service.services.after_write import AfterWrite, Change
from ticket_service.services.deferred_event import DeferredEvent
from ticket_service.services.due_holds import (
    BATCH,
    DUE_EVENTS,
    DUE_OF_ONE,
    NO_EVENT,
    OVERDUE,
    Due,
)
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.postgres import Postgres, RowLocked, SqlScript, is_of_transaction

EXPIRE = SqlScript.from_file("expire")

EXPIRE_AFTER_WAIT = SqlScript.from_file("wait_for_ticket_type", "expire")

EXPIRY_INTERVAL = 0.25
"""Seconds between two looks for holds and sales that end. They are to be over within a second."""

FAILED_SECONDS = 60
"""Seconds after which a hold that failed to end, for another reason than a lock, is retried."""

ONE_BY_ONE_SECONDS = 1.0
"""Seconds for which a turn goes through holds one by one, at most."""

WORKERS = 2
"""Deferred events that have their turn at the same time, each on its own connection."""

log = logging.getLogger(__name__)


class Expiry:
    """Ends holds."""

    def __init__(
        self,
        postgres: Postgres,
        after_write: AfterWrite,
    ) -> None:
        self._postgres = postgres
        self._after_write = after_write
        self._failed: TTLCache[str, None] = TTLCache(10_000, FAILED_SECONDS)
        self._deferred: dict[str, DeferredEvent] = {}
        self._workers: list[Greenlet[..., None] | None] = [None] * WORKERS
        self._done = 0
        self._looked_at, self._overdue = time.monotonic(), 0.0
        metrics.EXPIRY_OVERDUE.set_function(
            lambda: self._overdue + time.monotonic() - self._looked_at
        )

    def end_holds(self) -> int:
        """End all holds that expired, and start the turns of the deferred events.

        Returns how many holds ended since the last call. Call it a few times a second. Raises
        ServiceUnavailable.
        """
        try:
            self._end_together()
        except Exception as error:
            if not is_of_transaction(error):
                raise
            log.exception("holds not ended together")
            for (event_id,) in self._postgres.transaction(DUE_EVENTS, self._others()):
                self._defer(event_id)
        self._start_turns()
        [(self._overdue,)] = self._postgres.transaction(OVERDUE, self._others())
        self._looked_at = time.monotonic()
        metrics.EXPIRY_ASIDE.set(len(self._deferred))
        since = (self._looked_at - event.since for event in self._deferred.values())
        metrics.EXPIRY_ASIDE_SECONDS.set(max(since, default=0))
        done, self._done = self._done, 0
        return done

    def _end_together(self) -> None:
        while True:
            due = self._end(EXPIRE, self._others())
            missed: dict[str, set[str]] = defaultdict(set)
            for hold in due:
                if not hold.ended:
                    missed[hold.event_id].update(hold.missed_types)
            if len(due) == BATCH:  # an event that has most of them would delay the others
                [(event_id, count)] = Counter(hold.event_id for hold in due).most_common(1)
                if count > BATCH / 2:
                    missed.setdefault(event_id, set())
            for event_id, types in missed.items():
                self._defer(event_id, types)
            if len(due) < BATCH:
                return

    def _others(self) -> dict[str, Any]:
        """Return the parameters for the holds of events that are not deferred."""
        return {
            "failed": list(self._failed),
            "aside": list(self._deferred),
            "event_id": None,
            "only": None,
            "missed": [],
            "batch": BATCH,
        }

    def _end(self, script: SqlScript, parameters: dict[str, Any]) -> list[Due]:
        """End one batch, announce what ended, and return the whole batch."""
        since = time.monotonic()
        due = [Due(*row) for row in self._postgres.transaction(script, parameters)]
        by_event: dict[str, list[Due]] = defaultdict(list)
        for hold in due:
            if hold.ended:
                by_event[hold.event_id].append(hold)
                metrics.EXPIRY_LAG.observe(hold.lag)
                self._done += 1
        by_event.pop(NO_EVENT, None)
        for_each_event(
            "expiry", by_event, lambda event_id: self._tell(event_id, by_event[event_id], since)
        )
        return due

    def _tell(self, event_id: str, holds: list[Due], since: float) -> None:
        self._after_write.make_stale(event_id)
        change = Change(
            seat_ids=[seat_id for hold in holds for seat_id in hold.seat_ids],
            status="available",
            stock=any(hold.has_tickets for hold in holds),
            leaving={hold.buyer_id for hold in holds},
        )
        self._after_write.tell(event_id, change, since=since)

    # Deferred events

    def _defer(self, event_id: str, missed_types: Iterable[str] = ()) -> None:
        self._deferred.setdefault(event_id, DeferredEvent(event_id, missed_types))

    def _start_turns(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker is None or worker.dead:
                self._workers[number] = gevent.spawn(self._take_turns, fresh_first=number == 0)

    def _take_turns(self, *, fresh_first: bool) -> None:
        """Give turns until no event is due. One worker prefers events that have not failed, so
        that many locked events do not delay one that is only busy."""
        while True:
            now = time.monotonic()
            due = [e for e in self._deferred.values() if not e.busy and e.next_at <= now]
            if not due:
                return
            event = min(due, key=lambda e: (fresh_first and e.failures > 0, e.next_at))
            event.busy = True
            try:
                self._take_turn(event)
            except RowLocked:
                event.note_locked()
            except ServiceUnavailable:
                event.note_failure()
            except Exception:
                log.exception("unhandled", extra={"event_id": event.event_id})
                event.note_failure()
            finally:
                event.busy = False
            if event.over:
                del self._deferred[event.event_id]

    def _take_turn(self, event: DeferredEvent) -> None:
        """End one batch of the event."""
        try:
            due = self._end_deferred(event)
            more = len(due) == BATCH
        except Exception as error:
            if not is_of_transaction(error):
                raise
            log.exception("holds not ended together", extra={"event_id": event.event_id})
            due = self._end_one_by_one(event)
            more = True
        event.note(
            ended=sum(hold.ended for hold in due),
            seats={seat_id for hold in due for seat_id in hold.missed_seats},
            types={type_id for hold in due for type_id in hold.missed_types},
            more=more,
        )

    def _end_one_by_one(self, event: DeferredEvent) -> list[Due]:
        """End the holds of a batch that failed, so that a broken one does not stop the others."""
        until = time.monotonic() + ONE_BY_ONE_SECONDS
        due: list[Due] = []
        for (reservation_id,) in self._postgres.transaction(DUE_OF_ONE, self._of_one(event)):
            try:
                due += self._end_deferred(event, only=reservation_id)
            except Exception as error:
                if not is_of_transaction(error):
                    raise
                log.exception("hold not ended", extra={"reservation_id": reservation_id})
                self._failed[reservation_id] = None
            if time.monotonic() > until:
                break
        return due

    def _end_deferred(self, event: DeferredEvent, only: str | None = None) -> list[Due]:
        parameters = self._of_one(event, only)
        if event.ticket_type_id is None:
            return self._end(EXPIRE, parameters)
        wait = {"type_id": event.ticket_type_id, "wait_ms": event.wait_ms}
        return self._end(EXPIRE_AFTER_WAIT, parameters | wait)

    def _of_one(self, event: DeferredEvent, only: str | None = None) -> dict[str, Any]:
        """Return the parameters for the holds of a deferred event."""
        return {
            "failed": list(self._failed),
            "aside": [],
            "event_id": event.event_id,
            "only": only,
            "missed": event.missed,
            "batch": BATCH,
        }
