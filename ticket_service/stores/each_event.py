"""Work for many events, of which one that fails must not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import gevent
from gevent.pool import Pool

from ticket_service import metrics
from ticket_service.errors import ServiceUnavailable
from ticket_service.stores.postgres import Refused

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def for_each_event(
    loop: str, event_ids: Iterable[str], work: Callable[[str], Result], *, at_once: int = 1
) -> dict[str, Result]:
    """Do the work for each event, so many of them at once; the results of those that succeeded.

    An event that fails is logged, counted under the name of the loop, and left for the loop's next
    round. Raises ServiceUnavailable where no event succeeded because a server is away: then the
    loop may rest.
    """
    done: dict[str, Result] = {}
    away: dict[str, ServiceUnavailable] = {}

    def attempt(event_id: str) -> None:
        try:
            done[event_id] = work(event_id)
        except Exception as error:
            metrics.EVENT_FAILURES.labels(loop).inc()
            if isinstance(error, Refused):
                log.warning("event refused", extra={"loop": loop, "event_id": event_id})
            elif isinstance(error, ServiceUnavailable):
                away[event_id] = error
            else:
                log.exception("unhandled", extra={"loop": loop, "event_id": event_id})

    pool = Pool(at_once)
    try:
        for event_id in event_ids:
            pool.spawn(attempt, event_id)  # waits while the pool is full
        pool.join()
    finally:
        pool.kill(block=False)
    if away and not done:
        raise next(iter(away.values()))
    if away:
        log.warning("events left for the next round", extra={"loop": loop, "events": len(away)})
    return done


def read_soon(read: Callable[[str], object], event_id: str) -> None:
    """Read something of an event in a greenlet of its own; where that fails, the next round of a
    loop makes up for it."""

    def attempt() -> None:
        try:
            read(event_id)
        except ServiceUnavailable:
            log.warning("not read until the next look", extra={"event_id": event_id})

    gevent.spawn(attempt)
