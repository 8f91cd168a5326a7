"""What people have chosen and not yet taken, told to those who choose beside them.

One message of one person goes to a whole room, and everyone may send them. So a room is told at
most once an interval, of a limited number of people, and only the latest of each. Every instance
does this for its own sockets, with what it hears of all instances: so it holds for a person over
all their sockets, wherever they are.
"""

from __future__ import annotations

from itertools import islice

import gevent
from cachetools import LRUCache

from ticket_service.realtime.events import RoomEvent
from ticket_service.realtime.rooms import Rooms

INTERVAL = 0.25
"""Seconds between two times that a room is told; what comes after a pause is told at once."""

MAX_TOLD = 25
"""People of whom a room is told at a time; the others have their turn the next time."""

MAX_WAITING = 10_000
"""People of one room who wait for their turn; what others choose then is not told."""

MAX_KNOWN = 20_000
"""People and events of whom the latest choice is known, so that it is not told twice; about
400 bytes each."""


class Choices:
    """The choices that the rooms of this instance are told of."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._latest: LRUCache[tuple[str, str], int] = LRUCache(MAX_KNOWN)
        self._waiting: dict[str, dict[str, tuple[RoomEvent, str | None]]] = {}
        """By room: who waits for their turn. A room is in it for an interval after it was told."""

    def tell(self, told: RoomEvent, skip: str | None) -> None:
        """Tell a room, now or soon, unless it is what was last heard of this person; but not the
        socket `skip`, from which it came."""
        room, holder = told.room, str(told.payload["holder"])
        if not self._rooms.occupied(room):
            self._latest.pop((room, holder), None)  # whoever comes now does not know it
            return
        choice = hash(tuple(told.payload["seats"]))
        if self._latest.get((room, holder)) == choice:
            return
        self._latest[room, holder] = choice
        waiting = self._waiting.get(room)
        if waiting is None:
            self._waiting[room] = {}
            gevent.spawn_later(INTERVAL, self._tell_waiting, room)
            self._rooms.send(told, skip=skip)
        elif holder in waiting or len(waiting) < MAX_WAITING:
            waiting[holder] = told, skip  # in the place of what was chosen before

    def _tell_waiting(self, room: str) -> None:
        waiting = self._waiting[room]
        while waiting and self._rooms.occupied(room):
            for holder in list(islice(waiting, MAX_TOLD)):
                told, skip = waiting.pop(holder)
                self._rooms.send(told, skip=skip)
            gevent.sleep(INTERVAL)
        del self._waiting[room]
