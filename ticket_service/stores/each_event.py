"""Work on many events, so that a failure of one does not stop the others."""

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
    """Call `work` for each event, and return the results of those that succeeded.

    `loop`: the name of the loop, for logs and metrics. `at_once`: greenlets that work at the same
    time. An event that fails is logged, counted, and left for the loop's next round. Raises
    ServiceUnavailable if a dependency was away and no event succeeded, so that the loop pauses.
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
    """Call `read` in a greenlet of its own. If a dependency is away, this is only logged, since
    the loop reads again in its next round."""

    def attempt() -> None:
        try:
            read(event_id)
        except ServiceUnavailable:
            log.warning("not read until the next look", extra={"event_id": event_id})

    gevent.spawn(attempt)
