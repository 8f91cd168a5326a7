"""How many people look at an event: people, not sockets, and over all instances."""

from __future__ import annotations

from itertools import islice

from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.events import event
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
        self._joined: set[str] = set()
        self._counted: dict[str, int] = {}

    def on_join(self, event_id: str) -> int:
        """Have the room's count announced soon, since a socket joined. Returns the last known
        count."""
        self._joined.add(event_id)
        return max(1, self._counted.get(event_id, 0))

    def report(self) -> None:
        """Report what changed. Call it about once a second. Raises RedisUnavailable."""
        present = self._rooms.people(event(""))
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
        if count.announce:
            self._announcer.room_info(event_id, count.people)

    def _send(self, event_id: str, joined: set[str], left: set[str], *, everyone: bool) -> Count:
        """Report in batches. Returns the answer to the last one."""
        requested = event_id in self._joined
        self._joined.discard(event_id)
        joining, leaving = iter(joined), iter(left)
        while True:
            some = list(islice(joining, MAX_BATCH))
            others = list(islice(leaving, MAX_BATCH - len(some)))
            count = self._counts.report(
                event_id, some, others, everyone=everyone, requested=requested
            )
            if count.people < 0 or len(some) + len(others) < MAX_BATCH:
                return count
