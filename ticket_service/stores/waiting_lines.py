"""The waiting rooms in Redis: a typed method for each script.

Any instance may call any method at any time. Each is one atomic step, with Redis' own clock.
lua/waiting_room.lua documents the keys and their invariants.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from ticket_service.config import Settings
from ticket_service.messages import sentence
from ticket_service.stores import keys
from ticket_service.stores.guards import Guards
from ticket_service.stores.locks import LOCK_TTL_MS
from ticket_service.stores.redis import LuaScript, Redis

ACTIVE_MS = 60_000
"""For so long an event stays on the list of active events after an instance last named it."""

PAUSED_MS = 30 * 24 * 3600 * 1000
"""For so long a pause lasts after an admin's last call; the same as in lua/waiting_room.lua."""

Status = Literal["queued", "active", "not_in_queue"]


class Place(NamedTuple):
    """The place of a user, and the numbers of the waiting room."""

    status: Status
    position: int
    """From 1; 0 unless queued."""
    wait: int
    """Estimated, in seconds; 0 unless queued."""
    waiting: int
    """People in line."""
    inside: int
    """People inside."""
    threshold: int
    """People who may be inside."""
    ends_at: int
    """When the stay ends at the latest, in ms since the epoch by Redis' clock; 0 unless active."""


class Gate(NamedTuple):
    """The result of `pass_gate`."""

    refused: Place | None
    """The user's place, if they are not inside."""
    locked: bool
    """Whether another owner has a lock on one of the seats; then no lock was taken."""


class AdmissionRound(NamedTuple):
    """What one call of `admit` did, and the numbers of the waiting room after it."""

    admitted: int
    """People admitted."""
    more: bool
    """Whether there is more to do at once."""
    waiting: int
    """People in line."""
    inside: int
    """People inside."""
    threshold: int
    """People who may be inside."""
    announce: bool
    """Whether these numbers changed since they were last announced, and it is time to do so."""
    paused: bool


class Overview(NamedTuple):
    """A waiting room as an admin sees it."""

    waiting: int
    """People in line."""
    inside: int
    """People inside."""
    threshold: int
    """People who may be inside."""
    paused: bool
    rate: float
    """Places that come free each second."""
    longest_wait: int
    """Seconds that the first in line has waited."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The settings of the waiting rooms."""

    threshold: int
    """People inside at once, unless an admin set another number."""
    ttl_seconds: int
    """How long a stay, or a place in line, lasts without a sign of life."""
    max_stay_seconds: int
    """The longest stay, whatever signs of life there are."""
    no_show_seconds: int
    """The time in which someone who was admitted must give a sign of life."""
    return_seconds: int
    """The time in which someone who left may have their place back."""
    update_seconds: float
    """The shortest time between two `queue-updated` of one event."""
    relay_channel: str = ""
    """Where other programs hear of admissions and ended stays; empty: nowhere."""

    @classmethod
    def of(cls, settings: Settings) -> QueueRules:
        """The rules of these settings."""
        return cls(
            threshold=settings.queue_threshold,
            ttl_seconds=settings.queue_ttl_seconds,
            max_stay_seconds=settings.queue_max_stay_seconds,
            no_show_seconds=settings.queue_no_show_seconds,
            return_seconds=settings.queue_return_seconds,
            update_seconds=settings.update_seconds,
            relay_channel=settings.queue_relay_channel,
        )


class WaitingLines:
    """The waiting rooms of all events. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis, rules: QueueRules, guards: Guards | None = None) -> None:
        """`guards`: the instance's memory, shared with its other WaitingLines."""
        self._redis = redis
        self._rules = rules
        self._guards = guards or Guards()
        self._relay = _relay(rules.relay_channel)
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
        """Let the user in or put them into the line, where they stood if they left just now, else
        at the end; they keep a place that they have."""
        answer = self._run(self._enter, event_id, user_id, self._known_paused(event_id))
        return self._place(event_id, answer)

    def show(self, event_id: str, user_id: str, *, let_back_in: bool = False) -> Place:
        """Take a sign of life of the user, and return their place.

        `let_back_in`: let them in again, if they were inside when they left just now, and there is
        room.
        """
        return self._place(event_id, self._run(self._show, event_id, user_id, int(let_back_in)))

    def keep(self, event_id: str, user_ids: Collection[str]) -> list[str]:
        """Take a sign of life of many users, a thousand at most. Returns those who are inside."""
        inside: list[str] = self._run(self._keep, event_id, *user_ids)
        return inside

    def leave(self, event_id: str, user_id: str) -> None:
        """Give up the user's place. They may have it back within the rules' `return_seconds`."""
        self._run(self._leave, event_id, user_id, self._rules.return_seconds * 1000)

    def end(self, event_id: str, begun: Mapping[str, int]) -> int:
        """End the stays of many users, a thousand at most, also of those who left just now or are
        back in line with the rest of a stay. Return how many places were given up. Other users in
        line are not affected.

        `begun`: by user, how many ms ago the stay must have begun; a later one goes on.
        """
        pairs = (part for pair in begun.items() for part in pair)
        ended: int = self._run(self._end, event_id, *pairs)
        return ended

    def admit(self, event_id: str) -> AdmissionRound:
        """Admit the next users in line, a batch at most, and publish their ids on the channel
        ADMITTED."""
        admitted, more, waiting, inside, threshold, announce, paused = self._run(
            self._admit,
            event_id,
            min(self._rules.no_show_seconds, self._rules.ttl_seconds) * 1000,
            keys.ADMITTED,
            event_id,
            int(self._rules.update_seconds * 1000),
            self._known_paused(event_id),
        )
        self._guards.record(event_id, paused=bool(paused), waiting=waiting)
        return AdmissionRound(
            admitted, bool(more), waiting, inside, threshold, bool(announce), bool(paused)
        )

    def control(
        self, event_id: str, threshold: int | None = None, paused: bool | None = None
    ) -> Overview:
        """Set the threshold or the pause, unless they are None, and return the overview.

        A paused event is put on the list of active events for as long as the pause may last, so
        that every instance knows of the pause within a round of admissions.
        """
        waiting, inside, now_threshold, now_paused, rate, longest_wait = self._run(
            self._control,
            event_id,
            "" if threshold is None else threshold,
            "" if paused is None else int(paused),
        )
        self._guards.record(event_id, paused=bool(now_paused), waiting=waiting)
        if now_paused:
            until = int(time.time() * 1000) + PAUSED_MS
            self._redis.command("ZADD", keys.WAITING_LINES, until, event_id)
        elif paused is False:  # a line puts it back in the next round
            self._redis.command("ZREM", keys.WAITING_LINES, event_id)
        return Overview(waiting, inside, now_threshold, bool(now_paused), float(rate), longest_wait)

    def clear(self, event_id: str) -> None:
        """Send everyone away."""
        self._run(self._clear, event_id)

    def pass_gate(self, event_id: str, user_id: str, seat_ids: list[str], owner: str) -> Gate:
        """Check that the user is inside, or let them in if there is room, and lock their seats for
        `owner`, all or none.

        After RedisFailed the locks may have been taken, or may still be: free them.
        """
        locks = [keys.seat_lock(event_id, seat_id) for seat_id in seat_ids]
        known = self._known_paused(event_id)
        answer = self._run(
            self._gate, event_id, user_id, owner, LOCK_TTL_MS, known, more_keys=locks
        )
        if answer[0] != "inside":
            return Gate(self._place(event_id, answer), locked=False)
        return Gate(None, locked=answer[1] > 0)

    def list_active(self, event_ids: Collection[str]) -> set[str]:
        """Name events that have a line or are paused, and return all such events: those that any
        instance named within ACTIVE_MS, and those that are paused."""
        times = ACTIVE_MS, ACTIVE_MS + PAUSED_MS
        return set(self._redis.run(self._list, [keys.WAITING_LINES], *times, *event_ids))

    @property
    def away(self) -> bool:
        """Whether Redis, and with it every waiting room, is away."""
        return self._redis.state.away

    def may_bypass(self, event_id: str) -> bool:
        """Whether people may buy without a waiting room: Redis is away, and the event is not
        guarded (stores/guards.py)."""
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
            self._relay,
            *arguments,
        )


def _relay(channel: str) -> str:
    """The argument by which the scripts publish for other programs."""
    if not channel:
        return ""
    sentences = {"allowed": sentence("ENTRY_ALLOWED", "ko"), "ended": sentence("STAY_ENDED", "ko")}
    return orjson.dumps({"channel": channel, **sentences}).decode()


def _script(name: str) -> LuaScript:
    return LuaScript("waiting_room", name)
