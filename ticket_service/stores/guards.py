"""Remembers which events are *guarded*: paused, or with a line when Redis last answered.

This instance uses it while Redis is away, and to restore a pause that Redis lost. Redis' usual
answers feed it. The admission loop of every instance asks a few times a second about every event
that is paused or has a line (services/admissions.py), so all instances know.
"""

from __future__ import annotations

from cachetools import LRUCache, TTLCache

MAX_EVENTS = 10_000
"""Paused events remembered, and events with a line; the least recent are forgotten first."""

MIN_LINE_SECONDS = 300
"""The shortest time for which a line is remembered after it was last seen."""


class Guards:
    """The pauses and lines that this instance knows of."""

    def __init__(self, stay_seconds: float = 0) -> None:
        """`stay_seconds`: how long a place in line lasts without a sign of life. No sign can be
        given while Redis is away, so after that time the line is over."""
        self._paused: LRUCache[str, None] = LRUCache(MAX_EVENTS)
        self._lines: TTLCache[str, None] = TTLCache(MAX_EVENTS, max(MIN_LINE_SECONDS, stay_seconds))

    def record(self, event_id: str, *, paused: bool, waiting: int) -> None:
        """Record an answer of Redis. `waiting`: people in line."""
        if paused:
            self._paused[event_id] = None
        else:
            self._paused.pop(event_id, None)
        if waiting:
            self._lines[event_id] = None

    def record_line(self, event_id: str) -> None:
        """Record that somebody waits for the event."""
        if event_id not in self._lines:  # the admission loop refreshes known ones
            self._lines[event_id] = None

    def paused(self, event_id: str) -> bool:
        """Whether the event was paused when Redis last answered about it."""
        return event_id in self._paused

    def guarded(self, event_id: str) -> bool:
        """Whether the event was paused, or had a line within the time that lines are remembered."""
        return event_id in self._paused or event_id in self._lines
