"""Tells browsers what happened, on whatever instance they are.

The methods are for the services, to be called after the commit; they raise nothing and never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from ticket_service.realtime import events
from ticket_service.realtime.bus import Bus
from ticket_service.realtime.choices import Choices
from ticket_service.realtime.events import ALIASES, SEAT_UPDATE, RoomEvent
from ticket_service.realtime.rooms import Rooms


class Announcer:
    """What is said, and to whom."""

    def __init__(self, bus: Bus, rooms: Rooms, choices: Choices, *, aliases: bool) -> None:
        self._bus = bus
        self._rooms = rooms
        self._choices = choices
        self._aliases = aliases
        self.on_change: list[Callable[[str], None]] = []
        """Called with the id of each event whose seats or stock this instance sees changed."""

    def seats_changed(self, event_id: str, seat_ids: Iterable[str], status: str) -> None:
        """Seats have this status now (realtime/seat_feed.py tells those who look at them)."""
        self._changed(event_id)
        self._bus.publish("seats", eventId=event_id, seats=dict.fromkeys(seat_ids, status))

    def stock_changed(self, event_id: str) -> None:
        """The stock of an event is another now (realtime/stock_feed.py reads it)."""
        self._changed(event_id)
        self._bus.publish("stock", eventId=event_id)

    def inventory_changed(
        self, event_id: str, seat_ids: Collection[str], status: str, *, stock: bool
    ) -> None:
        """These seats, if any, have this status now, and perhaps the stock is another."""
        if seat_ids:
            self.seats_changed(event_id, seat_ids, status)
        if stock:
            self.stock_changed(event_id)

    def event_status(self, event_id: str, status: str) -> None:
        """Tell those who look at an event that its sale began, ended, or sold out."""
        self._tell(events.event_status(event_id, status))

    def queue_updated(self, event_id: str, waiting: int, inside: int, threshold: int) -> None:
        """Tell those who look at a waiting room how long the line is."""
        self._tell(events.queue_updated(event_id, waiting, inside, threshold))

    def queue_cleared(self, event_id: str) -> None:
        """Tell those who look at a waiting room that everyone was sent away."""
        self._tell(events.queue_cleared(event_id))

    def room_info(self, event_id: str, people: int) -> None:
        """Tell those who look at an event how many they are."""
        self._tell(events.room_info(event_id, people))

    def seat_update(self, event_id: str, holder: str, chosen: list[str], *, sender: str) -> None:
        """Tell those who choose seats what someone else, at the socket `sender`, has chosen; the
        caller has checked that these are seats of the event."""
        self._tell(events.seat_update(event_id, holder, chosen), skip=sender)

    def entry_allowed(self, event_id: str, user_id: str) -> None:
        """Tell this person's sockets on this instance, unless they heard it just now."""
        if self._rooms.note_entry(user_id, event_id):
            self.here(events.queue_entry_allowed(event_id, user_id))

    def stay_ended(self, event_id: str, user_id: str, asked_at: float) -> None:
        """Tell those of this person's sockets on this instance that took them for inside until
        now. `asked_at` (`time.monotonic()`): they were not inside at some moment after it."""
        for sid in self._rooms.forget_entry(user_id, event_id, asked_at):
            self.here(events.queue_stay_ended(event_id, sid))

    def here(self, told: RoomEvent, *, skip: str | None = None) -> None:
        """Tell those of this instance, under the event's name and its alias. Others may have their
        turn meanwhile."""
        alias = ALIASES.get(told.name) if self._aliases else None
        self._rooms.send(told, skip=skip, alias=alias)

    def _changed(self, event_id: str) -> None:
        for hear in self.on_change:
            hear(event_id)

    def _tell(self, told: RoomEvent, *, skip: str | None = None) -> None:
        self._bus.publish("tell", name=told.name, room=told.room, payload=told.payload, skip=skip)

    def heard(self, message: dict[str, Any]) -> None:
        """Take a message `tell` of the bus: tell those of this instance."""
        told = RoomEvent(message["name"], message["room"], message["payload"])
        if told.name == SEAT_UPDATE:
            self._choices.tell(told, message["skip"])
        elif self._rooms.occupied(told.room):
            self.here(told, skip=message["skip"])

    def heard_of_admissions(self, message: dict[str, Any]) -> None:
        """Take a message `admitted` of the bus: tell those of them who have a socket here."""
        for user_id in message["userIds"]:
            self.entry_allowed(message["eventId"], user_id)
