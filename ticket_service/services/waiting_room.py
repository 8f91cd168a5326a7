"""The waiting room: a fair line in front of an event that more people want than it can serve.

First come, first served; nobody waits while there is room, and nobody buys who is not inside. All
of it is in Redis (stores/waiting_lines.py): it keeps the sale orderly, and PostgreSQL keeps it
correct. Where Redis does not answer for a moment, nobody passes. Where it is away for longer there
are no lines, and buying goes on if a setting says so, except where an event was paused or had a
line when it was last heard of (stores/redis_state.py, stores/guards.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import gevent

from ticket_service import metrics
from ticket_service.errors import QueueAway, QueueRequired, QueueUnavailable, SeatLocked
from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.stores.event_info import EventInfos
from ticket_service.stores.locks import LOCK_TTL_MS, SeatLocks
from ticket_service.stores.redis import RedisFailed, RedisUnavailable
from ticket_service.stores.waiting_lines import Overview, Place, WaitingLines

FREE_TRIES = 40
"""Tries to free the locks of someone who got no answer, as long as locks last."""


class WaitingRoom:
    """All raise EventNotFound for an event that does not exist, and ServiceUnavailable where that
    cannot be known; those that need a line raise QueueUnavailable without Redis."""

    def __init__(
        self,
        events: EventInfos,
        lines: WaitingLines,
        locks: SeatLocks,
        announcer: Announcer,
        *,
        expect: Callable[[str], None],
        sell_without: bool,
    ) -> None:
        """`expect`: told of each event that somebody waits for. `sell_without`: whether people may
        buy while Redis is away."""
        self._events = events
        self._lines = lines
        self._locks = locks
        self._announcer = announcer
        self._sell_without = sell_without
        self._expect = expect

    def check(self, user_id: str, event_id: str) -> dict[str, Any]:
        """Come in, or take a place in the line, or keep the one that one has."""
        info = self._events.read(event_id)
        with self._redis():
            place = self._lines.enter(event_id, user_id)
        if place.status == "queued":
            self._expect(event_id)
        return _shown(place) | {"eventInfo": {"title": info.title, "artist": info.artist}}

    def status(self, user_id: str, event_id: str) -> dict[str, Any]:
        """Where the user stands; a sign of life, like everything that they do here."""
        return _shown(self._show(user_id, event_id))

    def heartbeat(self, user_id: str, event_id: str) -> dict[str, Any]:
        """A sign of life, and whether the user still waits."""
        place = self._show(user_id, event_id)
        return {"status": place.status, "queued": place.status == "queued"}

    def leave(self, user_id: str, event_id: str) -> None:
        """Give the user's place up, inside or in the line; harmless where they have none."""
        self._events.read(event_id)
        with self._redis():
            self._lines.leave(event_id, user_id)

    def overview(self, event_id: str) -> dict[str, Any]:
        """The waiting room as an admin sees it."""
        return self.control(event_id, threshold=None, paused=None)

    def control(
        self, event_id: str, *, threshold: int | None, paused: bool | None
    ) -> dict[str, Any]:
        """Change how the waiting room is run, where something is given.

        A lower threshold sends nobody away: it holds for those who come next.
        """
        self._events.read(event_id)
        with self._redis():
            return _shown_to_admin(event_id, self._lines.control(event_id, threshold, paused))

    def clear(self, event_id: str) -> None:
        """Send everyone away and tell those who wait."""
        self._events.read(event_id)
        with self._redis():
            self._lines.clear(event_id)
        self._announcer.queue_cleared(event_id)

    def pass_gate(self, user_id: str, event_id: str, seat_ids: list[str], owner: str) -> None:
        """On the way to buying: be inside, or come in on the spot; and take the seat locks.

        Raises QueueRequired, SeatLocked when another request has one of the seats, or
        QueueUnavailable.
        """
        self._events.read(event_id)
        try:
            gate = self._lines.pass_gate(event_id, user_id, seat_ids, owner)
        except RedisUnavailable as error:
            if self._sell_without and self._lines.may_bypass(event_id):
                metrics.PASSES_WITHOUT_GATE.inc()
                return
            if isinstance(error, RedisFailed) and seat_ids:
                gevent.spawn(self._free, event_id, seat_ids, owner)
            raise self._unavailable() from error
        if gate.refused:
            raise _queue_required(event_id, gate.refused)
        if gate.locked:
            raise SeatLocked

    def _free(self, event_id: str, seat_ids: list[str], owner: str) -> None:
        """Free the locks of someone who was told that there is no waiting room, as soon as can be:
        nobody else could have the seats until the locks end by themselves."""
        for _ in range(FREE_TRIES):
            with suppress(RedisUnavailable):
                self._locks.release(event_id, seat_ids, owner, changed=False)
                return
            gevent.sleep(LOCK_TTL_MS / 1000 / FREE_TRIES)

    def _show(self, user_id: str, event_id: str) -> Place:
        self._events.read(event_id)
        with self._redis():
            place = self._lines.show(event_id, user_id)
        if place.status == "queued":
            self._expect(event_id)
        return place

    @contextmanager
    def _redis(self) -> Iterator[None]:
        try:
            yield
        except RedisUnavailable as error:
            raise self._unavailable() from error

    def _unavailable(self) -> QueueUnavailable:
        return QueueAway() if self._lines.away else QueueUnavailable()


def _shown(place: Place) -> dict[str, Any]:
    return {
        "queued": place.status == "queued",
        "status": place.status,
        "position": place.position,
        "estimatedWait": place.wait,
        "queueSize": place.waiting,
        "currentUsers": place.inside,
        "threshold": place.threshold,
        "stayEndsAt": _time(place.ends_at) if place.ends_at else None,
    }


def _time(milliseconds: int) -> str:
    """A moment since the epoch, as the wire shows it."""
    return events.wire_time(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _shown_to_admin(event_id: str, overview: Overview) -> dict[str, Any]:
    return {
        "eventId": event_id,
        "queueSize": overview.waiting,
        "currentUsers": overview.inside,
        "threshold": overview.threshold,
        "available": max(0, overview.threshold - overview.inside),
        "paused": overview.paused,
        "admissionRate": overview.rate,
        "longestWait": overview.longest_wait,
    }


def _queue_required(event_id: str, place: Place) -> QueueRequired:
    """The position of someone who waits; to anyone else, the invitation to enter."""
    details: dict[str, Any] = {
        "eventId": event_id,
        "status": place.status,
        "position": place.position,
        "estimatedWait": place.wait,
        "queueSize": place.waiting,
    }
    if place.status != "queued":
        details["enter"] = f"POST /api/v1/queue/check/{event_id}"
    return QueueRequired(details)
