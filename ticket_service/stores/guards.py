"""Which events are known to be guarded: what was so stays so until it is known to be free.

A memory of this instance, for the time when Redis is away or has lost its own. It is fed by the
answers that Redis gives anyway. Every instance looks, a few times a second, after every event that
is paused or has a line, whichever instance paused it (services/admissions.py): so all of them know.
"""

from __future__ import annotations

from cachetools import LRUCache, TTLCache

MAX_EVENTS = 10_000
"""Events remembered of each kind; the ones that were heard of longest ago are forgotten first."""

MIN_LINE_SECONDS = 300
"""A line that was not heard to be over is remembered for at least so long."""


class Guards:
    """What this instance knows of pauses and lines."""

    def __init__(self, stay_seconds: float = 0) -> None:
        """`stay_seconds`: how long a place in line lasts without a sign of life. Without Redis none
        can be given, so after that time there is no line any more."""
        self._paused: LRUCache[str, None] = LRUCache(MAX_EVENTS)
        self._lines: TTLCache[str, None] = TTLCache(MAX_EVENTS, max(MIN_LINE_SECONDS, stay_seconds))

    def heard(self, event_id: str, *, paused: bool, waiting: int) -> None:
        """Redis said how the waiting room is."""
        if paused:
            self._paused[event_id] = None
        else:
            self._paused.pop(event_id, None)
        if waiting:
            self._lines[event_id] = None

    def record_line(self, event_id: str) -> None:
        """Somebody waits."""
        if event_id not in self._lines:  # which rounds of admissions keep fresh
            self._lines[event_id] = None

    def paused(self, event_id: str) -> bool:
        """Whether the event was paused when last heard of."""
        return event_id in self._paused

    def guarded(self, event_id: str) -> bool:
        """Whether the event is not known to be free: paused, or with a line of late."""
        return event_id in self._paused or event_id in self._lines
