"""Admits people from the line, and keeps the places of those whose sockets are open.

Every instance does this for every event that has a line or is paused; the Lua scripts make sure
that each person is admitted once. It has Redis connections of its own, so a rush of requests does
not delay it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from itertools import islice

from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.waiting_lines import WaitingLines

ADMISSION_INTERVAL = 0.25
"""Seconds between two rounds of admissions. A free place is to be taken within a second."""

MAX_BATCH = 1_000
"""People whose places are kept in one call to Redis."""

log = logging.getLogger(__name__)


class Admissions:
    """Runs the waiting rooms' admissions on this instance."""

    def __init__(self, lines: WaitingLines, rooms: Rooms, announcer: Announcer) -> None:
        self._lines = lines
        self._rooms = rooms
        self._announcer = announcer
        self._active: set[str] = set()
        """The events that this instance knows to have a line or to be paused."""
        self._messages_lost = False

    def on_waiting(self, event_id: str) -> None:
        """Run the admissions of this event, since somebody waits for it."""
        self._active.add(event_id)

    def on_reconnect(self) -> None:
        """Messages may have been lost: with the next run, tell those who were admitted and were
        not told."""
        self._messages_lost = True

    def admit(self) -> None:
        """Admit everyone for whom there is room. Call it a few times a second.

        Raises RedisUnavailable.
        """
        if self._messages_lost:
            self.keep_places(tell=True)
            self._messages_lost = False
        watched = self._rooms.ids(events.queue(""))
        active = self._lines.list_active(self._active) | watched
        while active:  # one batch of each event in turn, so a long line does not delay the others
            admitted = for_each_event("admission", active, self._admit_batch)
            active = {event_id for event_id, more in admitted.items() if more}

    def keep_places(self, *, tell: bool = False) -> None:
        """Count the open queue sockets of this instance as signs of life, and tell those whose
        stay is over. Raises RedisUnavailable.

        `tell`: also tell those who are inside and were not told.
        """

        def keep(event_id: str) -> None:
            asked_at = time.monotonic()
            users = self._rooms.users(events.queue(event_id))
            inside = self._keep(event_id, users)
            for user_id in users - inside:
                self._announcer.stay_ended(event_id, user_id, asked_at)
            for user_id in inside if tell else ():
                if not self._rooms.knows_entry(user_id, event_id):
                    self._announcer.entry_allowed(event_id, user_id)

        for_each_event("places", self._rooms.ids(events.queue("")), keep)

    def end_stays(self, event_id: str, user_ids: Collection[str]) -> None:
        """End the stays of people who paid, cancelled, or whose holds expired, if Redis answers."""
        try:
            self.end_stays_begun(event_id, dict.fromkeys(user_ids, 0))
        except RedisUnavailable:
            log.warning("stays not ended", extra={"event_id": event_id})

    def end_stays_begun(self, event_id: str, begun: Mapping[str, int]) -> int:
        """End the stays of these people that began at least so many ms ago, and return how many
        ended. Raises RedisUnavailable."""
        left, ended = iter(begun.items()), 0
        while some := dict(islice(left, MAX_BATCH)):
            ended += self._lines.end(event_id, some)
        return ended

    def _admit_batch(self, event_id: str) -> bool:
        """Admit one batch. Returns whether there is more to do at once."""
        done = self._lines.admit(event_id)
        if done.announce:
            self._announcer.queue_updated(event_id, done.waiting, done.inside, done.threshold)
        if done.waiting or done.paused:  # so that every instance knows that it is guarded
            self._active.add(event_id)
        else:
            self._active.discard(event_id)
        return done.more

    def _keep(self, event_id: str, users: Collection[str]) -> set[str]:
        """Keep the places of these people. Returns those who are inside."""
        left, inside = iter(users), set[str]()
        while some := list(islice(left, MAX_BATCH)):
            inside.update(self._lines.keep(event_id, some))
        return inside
