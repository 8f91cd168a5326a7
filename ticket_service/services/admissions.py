"""Lets people from the line in, and keeps the places of those whose sockets are open.

Every instance does this for every event that has a line or is paused; the scripts see to it that
each person is admitted once. On Redis connections of its own, so that a rush of requests does not
hold it up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from itertools import islice

from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.waiting_lines import WaitingLines

MAX_BATCH = 1_000
"""People in one sign of life."""

log = logging.getLogger(__name__)


class Admissions:
    """The admissions of this instance."""

    def __init__(self, lines: WaitingLines, rooms: Rooms, announcer: Announcer) -> None:
        self._lines = lines
        self._rooms = rooms
        self._announcer = announcer
        self._looked_after: set[str] = set()
        self._missed = False

    def expect(self, event_id: str) -> None:
        """Look after this event: somebody waits for it."""
        self._looked_after.add(event_id)

    def on_reconnect(self) -> None:
        """Messages may have been lost: tell everyone again who is inside and does not know it."""
        self._missed = True

    def admit(self) -> None:
        """Let everyone in for whom there is room. To be called a few times a second.

        Raises RedisUnavailable.
        """
        if self._missed:
            self.keep_places(tell=True)
            self._missed = False
        watched = self._rooms.ids(events.queue(""))
        waiting = self._lines.listed(self._looked_after) | watched
        while waiting:  # a batch of each event in turn, so that a long line holds up no other
            admitted = for_each_event("admission", waiting, self._admit_some)
            waiting = {event_id for event_id, more in admitted.items() if more}

    def keep_places(self, *, tell: bool = False) -> None:
        """Take the open queue sockets of this instance as signs of life, and tell whose stay is
        over. Raises RedisUnavailable.

        `tell`: messages may have been lost, so tell those who are inside and do not know it.
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
        """End the stays of people who paid or whose holds ran out, if Redis can be asked."""
        try:
            self._lines.end(event_id, user_ids)
        except RedisUnavailable:
            log.warning("stays not ended", extra={"event_id": event_id})

    def _admit_some(self, event_id: str) -> bool:
        """Admit one batch; whether there is more to do at once."""
        done = self._lines.admit(event_id)
        if done.tell:
            self._announcer.queue_updated(event_id, done.waiting, done.inside, done.threshold)
        if done.waiting or done.paused:  # so that every instance knows that it is guarded
            self._looked_after.add(event_id)
        else:
            self._looked_after.discard(event_id)
        return done.more

    def _keep(self, event_id: str, users: Collection[str]) -> set[str]:
        """Keep the places of these people; those of them who are inside."""
        left, inside = iter(users), set[str]()
        while some := list(islice(left, MAX_BATCH)):
            inside.update(self._lines.keep(event_id, some))
        return inside
