"""What another service tells when it made or changed events: look at everything again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ticket_service.realtime.announcer import Announcer


class Rescheduling:
    """Forgets what is kept of events, and has the times of all sales looked at, on all instances.

    People who look at an event are told by those who find the change: services/event_status.py and
    the feeds.
    """

    def __init__(self, announcer: Announcer, look_again: Sequence[Callable[[], None]]) -> None:
        """`look_again`: what is done on each instance."""
        self._announcer = announcer
        self._look_again = look_again

    def reschedule(self) -> None:
        """Have everything looked at again: on this instance at once, on the others as soon as they
        hear of it."""
        self.on_events({})
        self._announcer.events_changed()

    def on_events(self, message: dict[str, Any]) -> None:
        """Handle a message `events` of the bus."""
        for look in self._look_again:
            look()
