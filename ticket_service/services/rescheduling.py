"""What is done when another program reports that it made or changed events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ticket_service.realtime.announcer import Announcer


class Rescheduling:
    """Makes every instance check the times of all sales, and read again what it cached of events.

    Browsers are told by realtime/event_feed.py, which finds the changes in the tables.
    """

    def __init__(self, announcer: Announcer, look_again: Sequence[Callable[[], None]]) -> None:
        """`look_again`: called on each instance. None of them may wait."""
        self._announcer = announcer
        self._look_again = look_again

    def reschedule(self) -> None:
        """Have all events looked at again: here before this returns, on other instances soon."""
        self.on_events({})
        self._announcer.events_changed()

    def on_events(self, message: dict[str, Any]) -> None:
        """Handle a message `events` of the bus."""
        for look in self._look_again:
            look()
