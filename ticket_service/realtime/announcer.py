"""Tells browsers what happened, on whatever instance they are. Called after the fact."""

from __future__ import annotations

from ticket_service.realtime import events
from ticket_service.realtime.events import Told
from ticket_service.realtime.rooms import NAMESPACE, Rooms


class Announcer:
    """Raises nothing: who was not told finds out when he asks."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def queue_updated(self, event_id: str, waiting: int, inside: int, threshold: int) -> None:
        """Tell those who look at a waiting room how long the line is."""
        self._tell(events.queue_updated(event_id, waiting, inside, threshold))

    def queue_cleared(self, event_id: str) -> None:
        """Tell those who look at a waiting room that everyone was sent away."""
        self._tell(events.queue_cleared(event_id))

    def _tell(self, told: Told) -> None:
        self._rooms.emit(told.name, told.payload, namespace=NAMESPACE, room=told.room)
