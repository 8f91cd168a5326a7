"""How many people look at an event: people, not sockets, and over all instances."""

from __future__ import annotations

from itertools import islice

from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.events import event
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.presence import Count, PresenceCounts

MAX_BATCH = 1_000
"""People in one report."""


class PresenceReporter:
    """Reports who is in the event rooms of this instance, and has the counts told."""

    def __init__(self, counts: PresenceCounts, rooms: Rooms, announcer: Announcer) -> None:
        self._counts = counts
        self._rooms = rooms
        self._announcer = announcer
        self._reported: dict[str, set[str]] = {}
        self._joined: set[str] = set()
        self._told: dict[str, int] = {}

    def joined(self, event_id: str) -> int:
        """Have the room told soon, for someone who just joined; the count as last known."""
        self._joined.add(event_id)
        return max(1, self._told.get(event_id, 0))

    def report(self) -> None:
        """Report what changed; to be called about once a second. Raises RedisUnavailable."""
        here = self._rooms.people(event(""))
        for_each_event(
            "presence",
            here.keys() | self._reported.keys(),
            lambda event_id: self._report(event_id, here.get(event_id, set())),
        )

    def _report(self, event_id: str, people: set[str]) -> None:
        known = self._reported.get(event_id)
        came, went = people - (known or set()), (known or set()) - people
        count = self._say(event_id, came, went, everyone=known is None)
        if count.people < 0:
            del self._reported[event_id]  # and all of it again, the next time
            return
        if people:
            self._reported[event_id] = people
            self._told[event_id] = count.people
        else:
            self._reported.pop(event_id, None)
            self._told.pop(event_id, None)
        if count.tell:
            self._announcer.room_info(event_id, count.people)

    def _say(self, event_id: str, came: set[str], went: set[str], *, everyone: bool) -> Count:
        """Report in pieces; the last answer counts."""
        joined = event_id in self._joined
        self._joined.discard(event_id)
        coming, going = iter(came), iter(went)
        while True:
            some = list(islice(coming, MAX_BATCH))
            others = list(islice(going, MAX_BATCH - len(some)))
            count = self._counts.report(event_id, some, others, everyone=everyone, joined=joined)
            if count.people < 0 or len(some) + len(others) < MAX_BATCH:
                return count
