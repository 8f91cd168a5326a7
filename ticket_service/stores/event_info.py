"""A cache of event titles and artists, which the waiting room has in its answers."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import NamedTuple

import gevent
from cachetools import LRUCache

from ticket_service.errors import EventNotFound, ServiceUnavailable
from ticket_service.stores import deadline
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.postgres import Postgres, SqlScript

MAX_AGE = 60.0
"""Seconds. Titles hardly change, and a hold fails anyway if its event was deleted."""

MAX_EVENTS = 10_000

_EVENT = SqlScript(event_info="SELECT title, artist_name FROM events WHERE id = %(event_id)s")


class EventInfo(NamedTuple):
    """What the waiting room shows of an event."""

    title: str
    artist: str | None


class EventInfos:
    """Caches the events that were read last."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._kept: LRUCache[str, tuple[EventInfo, float]] = LRUCache(MAX_EVENTS)
        self._coalescer: Coalescer[EventInfo] = Coalescer()
        self._forgotten_at = 0.0

    def forget(self) -> None:
        """Read each event again before long: the next answer still has its old title."""
        self._forgotten_at = time.monotonic()

    def read(self, event_id: str) -> EventInfo:
        """Return the event. If the entry is older than MAX_AGE, also refresh it in the background.

        Raises EventNotFound, and ServiceUnavailable if the event is not cached.
        """
        kept = self._kept.get(event_id)
        if kept is None:
            return self._load(event_id)
        info, read_at = kept
        if time.monotonic() - read_at > MAX_AGE or read_at < self._forgotten_at:
            self._kept[event_id] = info, time.monotonic()  # one reader is enough
            gevent.spawn(self._load_again, event_id)
        return info

    def _load_again(self, event_id: str) -> None:
        with suppress(EventNotFound, ServiceUnavailable):
            self._load(event_id)

    def _load(self, event_id: str) -> EventInfo:
        with deadline.shared():
            return self._coalescer.run(event_id, lambda: self._query(event_id))

    def _query(self, event_id: str) -> EventInfo:
        rows = self._postgres.transaction(_EVENT, {"event_id": event_id})
        if not rows:
            self._kept.pop(event_id, None)
            raise EventNotFound
        info = EventInfo(*rows[0])
        self._kept[event_id] = info, time.monotonic()
        return info
