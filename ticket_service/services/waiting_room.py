"""The waiting room: a line in front of an event that more people want than it can serve.

People enter in the order in which they came. Nobody waits while there is room, and nobody buys who
is not inside. Everything is kept in Redis (stores/waiting_lines.py); PostgreSQL decides what is
sold. In a hiccup of Redis nobody passes. In an outage there are no lines, and people may buy if
SELL_WITHOUT_WAITING_ROOM says so, except at guarded events: those that were paused or had a line
when Redis last answered (stores/redis_state.py, stores/guards.py).
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
"""Attempts to free a refused buyer's locks, spread over the time that locks last."""


class WaitingRoom:
    """The waiting rooms, for routes and socket handlers.

    All methods raise EventNotFound, ServiceUnavailable if the event could not be looked up, and
    QueueUnavailable if Redis did not answer.
    """

    def __init__(
        self,
        events: EventInfos,
        lines: WaitingLines,
        locks: SeatLocks,
        announcer: Announcer,
        *,
        on_waiting: Callable[[str], None],
        sell_without: bool,
    ) -> None:
        """`on_waiting`: called with the id of each event that somebody waits for.
        `sell_without`: whether people may buy while Redis is away."""
        self._events = events
        self._lines = lines
        self._locks = locks
        self._announcer = announcer
        self._sell_without = sell_without
        self._on_waiting = on_waiting

    def check(self, user_id: str, event_id: str) -> dict[str, Any]:
        """Let the user in, or put them into the line; they keep a place that they have, or had
        just now."""
        info = self._events.read(event_id)
        with self._redis():
            place = self._lines.enter(event_id, user_id)
        if place.status == "queued":
            self._on_waiting(event_id)
        return _shown(place) | {"eventInfo": {"title": info.title, "artist": info.artist}}

    def status(self, user_id: str, event_id: str) -> dict[str, Any]:
        """The user's place. Like every call of a user here, it counts as a sign of life."""
        return _shown(self._show(user_id, event_id))

    def heartbeat(self, user_id: str, event_id: str) -> dict[str, Any]:
        """Take a sign of life, and say whether the user still waits. Who was inside and left just
        now is inside again, if there is room."""
        place = self._show(user_id, event_id, let_back_in=True)
        return {"status": place.status, "queued": place.status == "queued"}

    def leave(self, user_id: str, event_id: str) -> None:
        """Give up the user's place, inside or in the line; harmless where they have none. For
        QUEUE_RETURN_SECONDS they may have it back."""
        self._events.read(event_id)
        with self._redis():
            self._lines.leave(event_id, user_id)

    def overview(self, event_id: str) -> dict[str, Any]:
        """The waiting room as an admin sees it."""
        return self.control(event_id, threshold=None, paused=None)

    def control(
        self, event_id: str, *, threshold: int | None, paused: bool | None
    ) -> dict[str, Any]:
        """Set the threshold or the pause, unless they are None. Returns the overview.

        A lower threshold sends nobody away: it holds for those who come next.
        """
        self._events.read(event_id)
        with self._redis():
            return _shown_to_admin(event_id, self._lines.control(event_id, threshold, paused))

    def clear(self, event_id: str) -> None:
        """Send everyone away, from the line and from inside, and tell the watching sockets."""
        self._events.read(event_id)
        with self._redis():
            self._lines.clear(event_id)
        self._announcer.queue_cleared(event_id)

    def pass_gate(self, user_id: str, event_id: str, seat_ids: list[str], owner: str) -> None:
        """Before a purchase: check that the user is inside, or let them in if there is room, and
        take the seat locks for `owner`.

        Without Redis it returns without locks, if selling without a waiting room is allowed and
        the event is not guarded. Raises QueueRequired, and SeatLocked when another request has one
        of the seats.
        """
        self._events.read(event_id)
        try:
            gate = self._lines.pass_gate(event_id, user_id, seat_ids, owner)
        except RedisUnavailable as error:
            if self._sell_without and self._lines.may_bypass(event_id):
                metrics.PASSES_WITHOUT_GATE.inc()
                return
            if isinstance(error, RedisFailed) and seat_ids:
                gevent.spawn(self._free_locks, event_id, seat_ids, owner)
            raise self._unavailable() from error
        if gate.refused:
            raise _queue_required(event_id, gate.refused)
        if gate.locked:
            raise SeatLocked

    def _free_locks(self, event_id: str, seat_ids: list[str], owner: str) -> None:
        """Free the locks of a refused buyer as soon as Redis answers. Redis may have taken them,
        and until they expire nobody else could have the seats."""
        for _ in range(FREE_TRIES):
            with suppress(RedisUnavailable):
                self._locks.release(event_id, seat_ids, owner, changed=False)
                return
            gevent.sleep(LOCK_TTL_MS / 1000 / FREE_TRIES)

    def _show(self, user_id: str, event_id: str, *, let_back_in: bool = False) -> Place:
        self._events.read(event_id)
        with self._redis():
            place = self._lines.show(event_id, user_id, let_back_in=let_back_in)
        if place.status == "queued":
            self._on_waiting(event_id)
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
    """Milliseconds since the epoch, as `events.wire_time` writes them."""
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
    """The refusal: `details` have the user's place, and how to enter for one who does not wait."""
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
