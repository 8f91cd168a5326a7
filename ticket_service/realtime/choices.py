"""Throttles `seat-update`: which seats people have chosen and not yet taken.

Everyone may send a choice, and each goes to a whole room. So a room gets choices at most once an
interval, of a limited number of people, and only the latest choice of each. Every instance does
this for its own sockets with the messages of all instances, so the limit holds for a person over
all their sockets.
"""

from __future__ import annotations

from itertools import islice

import gevent
from cachetools import LRUCache

from ticket_service.realtime.events import RoomEvent
from ticket_service.realtime.rooms import Rooms

EMIT_INTERVAL = 0.25
"""Seconds between two times that choices are sent to a room. The first after a pause is sent at
once."""

MAX_PER_INTERVAL = 25
"""People whose choices are sent to a room in one interval; the others follow in the next."""

MAX_PENDING = 10_000
"""People of one room whose choices may wait; those of others are dropped meanwhile."""

MAX_REMEMBERED = 20_000
"""Latest choices that are remembered, by person and event, so that none is sent twice; about
400 bytes each."""


class Choices:
    """Sends choices to the rooms of this instance."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._latest: LRUCache[tuple[str, str], int] = LRUCache(MAX_REMEMBERED)
        self._pending: dict[str, dict[str, tuple[RoomEvent, list[str]]]] = {}
        """The choices that wait, by room and holder. A room has an entry from its first choice
        until an interval passes without one."""

    def emit(self, event: RoomEvent, skip: str | None) -> None:
        """Send a `seat-update` to its room, now or soon, unless it repeats the person's last.

        `skip`: the id of the socket that it came from.
        """
        room, holder = event.room, str(event.payload["holder"])
        skipped = [skip] if skip else []
        if not self._rooms.occupied(room):
            self._latest.pop((room, holder), None)  # the next to join has not seen it
            return
        choice = hash(tuple(event.payload["seats"]))
        if self._latest.get((room, holder)) == choice:
            return
        self._latest[room, holder] = choice
        pending = self._pending.get(room)
        if pending is None:
            self._pending[room] = {}
            gevent.spawn_later(EMIT_INTERVAL, self._emit_pending, room)
            self._rooms.send(event, skip=skipped)
        elif holder in pending or len(pending) < MAX_PENDING:
            pending[holder] = event, skipped  # replaces their earlier choice, and keeps its place

    def _emit_pending(self, room: str) -> None:
        pending = self._pending[room]
        while pending and self._rooms.occupied(room):
            for holder in list(islice(pending, MAX_PER_INTERVAL)):
                event, skipped = pending.pop(holder)
                self._rooms.send(event, skip=skipped)
            gevent.sleep(EMIT_INTERVAL)
        del self._pending[room]
