"""The waiting rooms in Redis: one typed method a script.

Every method may be called by any instance at any moment; each is one atomic step with Redis' own
clock (lua/waiting_room.lua says what is kept and what is always true of it).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ticket_service.config import Settings
from ticket_service.stores import keys
from ticket_service.stores.guards import Guards
from ticket_service.stores.locks import LOCK_TTL_MS
from ticket_service.stores.redis import LuaScript, Redis

LISTED_MS = 60_000
"""For so long every instance looks after an event that one of them named."""

PAUSED_MS = 30 * 24 * 3600 * 1000
"""For so long a pause lasts after an admin last looked; as in lua/waiting_room.lua."""

Status = Literal["queued", "active", "not_in_queue"]


class Place(NamedTuple):
    """Where someone stands."""

    status: Status
    position: int
    """From 1; 0 unless queued."""
    wait: int
    """Estimated, in seconds; 0 unless queued."""
    waiting: int
    """How many people wait; `inside`: how many are inside."""
    inside: int
    threshold: int
    ends_at: int
    """When the stay ends at the latest, in ms since the epoch by Redis' clock; 0 unless active."""


class Gate(NamedTuple):
    """How someone who wants to buy got on."""

    refused: Place | None
    """Their place, if they are not inside."""
    locked: bool
    """Whether one of their seats is in other hands; then no lock was taken."""


class Round(NamedTuple):
    """What one round of admissions did."""

    admitted: int
    more: bool
    """There is more to do at once."""
    waiting: int
    inside: int
    threshold: int
    tell: bool
    """The numbers are others than those that were last told, and it is time to tell them."""
    paused: bool


class Overview(NamedTuple):
    """What an admin sees."""

    waiting: int
    inside: int
    threshold: int
    paused: bool
    rate: float
    """Places that come free a second."""
    longest_wait: int
    """Seconds that the first in line has waited."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How waiting rooms are run, from the settings."""

    threshold: int
    """People inside at once, where no admin set another number."""
    ttl_seconds: int
    """A stay, and a wait, without a sign of life."""
    max_stay_seconds: int
    """A stay, whatever signs of life there are."""
    no_show_seconds: int
    """What someone who was admitted has to show up."""
    update_seconds: float
    """The shortest time between two `queue-updated` of one event."""

    @classmethod
    def of(cls, settings: Settings) -> QueueRules:
        """As the settings say."""
        return cls(
            threshold=settings.queue_threshold,
            ttl_seconds=settings.queue_ttl_seconds,
            max_stay_seconds=settings.queue_max_stay_seconds,
            no_show_seconds=settings.queue_no_show_seconds,
            update_seconds=settings.update_seconds,
        )


class WaitingLines:
    """The waiting rooms of all events. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, rules: QueueRules, guards: Guards | None = None) -> None:
        """`guards`: what the instance knows, from here and elsewhere."""
        self._redis = redis
        self._rules = rules
        self._guards = guards or Guards()
        self._enter = _script("queue_enter")
        self._show = _script("queue_show")
        self._keep = _script("queue_keep")
        self._leave = _script("queue_leave")
        self._end = _script("queue_end")
        self._admit = _script("queue_admit")
        self._control = _script("queue_control")
        self._clear = _script("queue_clear")
        self._gate = _script("pass_gate")
        self._list = LuaScript("waiting_lines")

    def enter(self, event_id: str, user_id: str) -> Place:
        """Let the user in or put them at the end of the line; whoever has a place keeps it."""
        answer = self._run(self._enter, event_id, user_id, self._known_paused(event_id))
        return self._place(event_id, answer)

    def show(self, event_id: str, user_id: str) -> Place:
        """Take a sign of life of the user, and see where they stand."""
        return self._place(event_id, self._run(self._show, event_id, user_id))

    def keep(self, event_id: str, user_ids: Collection[str]) -> list[str]:
        """Take a sign of life of many users, a thousand at most; those of them who are inside."""
        inside: list[str] = self._run(self._keep, event_id, *user_ids)
        return inside

    def leave(self, event_id: str, user_id: str) -> None:
        """Give the user's place up."""
        self._run(self._leave, event_id, user_id)

    def end(self, event_id: str, user_ids: Collection[str]) -> None:
        """End the stays of many users, a thousand at most; those who wait go on waiting."""
        self._run(self._end, event_id, *user_ids)

    def admit(self, event_id: str) -> Round:
        """Let the next ones in and tell all instances, on the channel ADMITTED, who they are."""
        admitted, more, waiting, inside, threshold, tell, paused = self._run(
            self._admit,
            event_id,
            min(self._rules.no_show_seconds, self._rules.ttl_seconds) * 1000,
            keys.ADMITTED,
            event_id,
            int(self._rules.update_seconds * 1000),
            self._known_paused(event_id),
        )
        self._guards.heard(event_id, paused=bool(paused), waiting=waiting)
        return Round(admitted, bool(more), waiting, inside, threshold, bool(tell), bool(paused))

    def control(
        self, event_id: str, threshold: int | None = None, paused: bool | None = None
    ) -> Overview:
        """Change what is given, and see how the waiting room is.

        A paused event is put on the list of those that all instances look after, where it stays as
        long as the pause may last: so each of them knows within a round.
        """
        waiting, inside, now_threshold, now_paused, rate, longest_wait = self._run(
            self._control,
            event_id,
            "" if threshold is None else threshold,
            "" if paused is None else int(paused),
        )
        self._guards.heard(event_id, paused=bool(now_paused), waiting=waiting)
        if now_paused:
            until = int(time.time() * 1000) + PAUSED_MS
            self._redis.command("ZADD", keys.WAITING_LINES, until, event_id)
        elif paused is False:  # whoever waits there has it named again in the next round
            self._redis.command("ZREM", keys.WAITING_LINES, event_id)
        return Overview(waiting, inside, now_threshold, bool(now_paused), float(rate), longest_wait)

    def clear(self, event_id: str) -> None:
        """Send everyone away."""
        self._run(self._clear, event_id)

    def pass_gate(self, event_id: str, user_id: str, seat_ids: list[str], owner: str) -> Gate:
        """See that the user is inside, or let them in; lock their seats for `owner`, all or none.

        With RedisFailed the locks may have been taken, or yet be: then free them.
        """
        locks = [keys.seat_lock(event_id, seat_id) for seat_id in seat_ids]
        known = self._known_paused(event_id)
        answer = self._run(
            self._gate, event_id, user_id, owner, LOCK_TTL_MS, known, more_keys=locks
        )
        if answer[0] != "inside":
            return Gate(self._place(event_id, answer), locked=False)
        return Gate(None, locked=answer[1] > 0)

    def listed(self, event_ids: Collection[str]) -> set[str]:
        """Name events that want looking after; all that any instance named of late."""
        times = LISTED_MS, LISTED_MS + PAUSED_MS
        return set(self._redis.run(self._list, [keys.WAITING_LINES], *times, *event_ids))

    @property
    def away(self) -> bool:
        """Whether there are no waiting rooms, and not only for a moment."""
        return self._redis.state.away

    def may_bypass(self, event_id: str) -> bool:
        """Whether there is no waiting room in front of this event, as far as is known: Redis is
        away, and the event was neither paused nor had a line when it was last heard of."""
        return self.away and not self._guards.guarded(event_id)

    def _place(self, event_id: str, answer: list[Any]) -> Place:
        place = Place(*answer)
        if place.waiting:
            self._guards.record_line(event_id)
        return place

    def _known_paused(self, event_id: str) -> int:
        return int(self._guards.paused(event_id))

    def _run(
        self,
        script: LuaScript,
        event_id: str,
        *arguments: str | int,
        more_keys: Collection[str] = (),
    ) -> Any:
        room = keys.waiting_room(event_id)
        rules = self._rules
        return self._redis.run(
            script,
            [*room, *more_keys],
            rules.threshold,
            rules.ttl_seconds * 1000,
            rules.max_stay_seconds * 1000,
            *arguments,
        )


def _script(name: str) -> LuaScript:
    return LuaScript("waiting_room", name)
