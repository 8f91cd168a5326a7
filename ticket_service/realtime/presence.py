"""How many people look at an event: people, not sockets, and over all instances."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.events import RoomEvent, event, room_info
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.presence import Count, PresenceCounts

MAX_BATCH = 1_000
"""People in one call to Redis."""


class PresenceReporter:
    """Reports who is in the event rooms of this instance to Redis, and announces the counts."""

    def __init__(self, counts: PresenceCounts, rooms: Rooms, announcer: Announcer) -> None:
        self._counts = counts
        self._rooms = rooms
        self._announcer = announcer
        self._reported: dict[str, set[str]] = {}
        self._joined: dict[str, set[str]] = {}
        """The ids of the sockets that joined since the count was last told, by event."""
        self._counted: dict[str, int] = {}

    def on_join(self, sid: str, event_id: str) -> int:
        """Have this socket told the count soon, unless it was told the same before. Returns the
        last known count."""
        self._joined.setdefault(event_id, set()).add(sid)
        return max(1, self._counted.get(event_id, 0))

    def on_people(self, message: dict[str, Any]) -> None:
        """Handle a message `people` of the bus: tell the room's sockets on this instance, but for
        those that were told the same before."""
        news = room_info(message["eventId"], message["people"])
        sids = self._rooms.sids(news.room)
        knew = [sid for sid in sids if not self._record(sid, news)]
        if len(knew) < len(sids):
            self._announcer.emit_locally(news, skip=knew)

    def report(self) -> None:
        """Report what changed. Call it about once a second. Raises RedisUnavailable."""
        present = self._rooms.people(event(""))
        for event_id in self._joined.keys() - present.keys():
            del self._joined[event_id]  # they left again
        for_each_event(
            "presence",
            present.keys() | self._reported.keys(),
            lambda event_id: self._report(event_id, present.get(event_id, set())),
        )

    def _report(self, event_id: str, people: set[str]) -> None:
        reported = self._reported.get(event_id)
        joined, left = people - (reported or set()), (reported or set()) - people
        count = self._send(event_id, joined, left, everyone=reported is None)
        if count.people < 0:
            del self._reported[event_id]  # the next report has everyone again
            return
        if people:
            self._reported[event_id] = people
            self._counted[event_id] = count.people
        else:
            self._reported.pop(event_id, None)
            self._counted.pop(event_id, None)
        if count.announce:  # to the whole room, so also to those who joined
            self._joined.pop(event_id, None)
            self._announcer.room_info(event_id, count.people)
        elif not count.changed:
            self._tell_newcomers(room_info(event_id, count.people), self._joined.pop(event_id, ()))

    def _tell_newcomers(self, news: RoomEvent, sids: Iterable[str]) -> None:
        for sid in sids:
            if self._record(sid, news):
                self._announcer.emit_locally(RoomEvent(news.name, sid, news.payload))

    def _record(self, sid: str, news: RoomEvent) -> bool:
        """Record that a socket is told this count. Returns False if it was told the same before,
        or is not in the room any more."""
        client, people = self._rooms.clients.get(sid), news.payload["userCount"]
        if client is None or news.room not in client.rooms:
            return False
        if client.told.get(news.room) == people:
            return False
        client.told[news.room] = people
        return True

    def _send(self, event_id: str, joined: set[str], left: set[str], *, everyone: bool) -> Count:
        """Report in batches. Returns the answer to the last one."""
        joining, leaving = iter(joined), iter(left)
        while True:
            some = list(islice(joining, MAX_BATCH))
            others = list(islice(leaving, MAX_BATCH - len(some)))
            count = self._counts.report(event_id, some, others, everyone=everyone)
            if count.people < 0 or len(some) + len(others) < MAX_BATCH:
                return count
