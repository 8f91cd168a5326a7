"""Sends Socket.IO events to rooms, on whatever instance their members are.

The methods are for the services, to be called after the commit. They raise nothing and never wait.
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
    """Announces changes: to browsers, and to the other instances over the bus."""

    def __init__(self, bus: Bus, rooms: Rooms, choices: Choices, *, aliases: bool) -> None:
        """`aliases`: whether events are also sent under the names in `events.ALIASES`."""
        self._bus = bus
        self._rooms = rooms
        self._choices = choices
        self._aliases = aliases
        self.on_change: list[Callable[[str], None]] = []
        """Called with the id of each event whose seats or stock this instance changed or saw
        changed."""

    def seats_changed(
        self, event_id: str, seat_ids: Iterable[str], status: str, *, since: float
    ) -> None:
        """Announce that these seats have this status now. realtime/seat_feed.py emits it.

        `since` (`time.monotonic()`): they had it at this time or later, but may have another now.
        """
        self._notify(event_id)
        seats = dict.fromkeys(seat_ids, status)
        self._bus.publish("seats", since=since, eventId=event_id, seats=seats)

    def stock_changed(self, event_id: str) -> None:
        """Announce that the stock of an event changed. realtime/event_feed.py reads and emits
        it."""
        self._notify(event_id)
        self._bus.publish("stock", eventId=event_id)

    def inventory_changed(
        self, event_id: str, seat_ids: Collection[str], status: str, *, stock: bool, since: float
    ) -> None:
        """Announce that these seats, if any, have this status now.

        `stock`: whether the stock of the event changed too. `since`: as for `seats_changed`.
        """
        if seat_ids:
            self.seats_changed(event_id, seat_ids, status, since=since)
        if stock:
            self.stock_changed(event_id)

    def events_changed(self) -> None:
        """Tell all instances that another program made or changed events."""
        self._bus.publish("events")

    def status_changed(self, event_id: str) -> None:
        """Announce that an event has another status. realtime/event_feed.py reads and emits it."""
        self._bus.publish("status", eventId=event_id)

    def queue_updated(self, event_id: str, waiting: int, inside: int, threshold: int) -> None:
        """Emit the numbers of a waiting room to its room."""
        self._emit_queue(events.queue_updated(event_id, waiting, inside, threshold))

    def queue_cleared(self, event_id: str) -> None:
        """Emit to a waiting room's room that everyone was sent away."""
        self._emit_queue(events.queue_cleared(event_id))

    def room_info(self, event_id: str, people: int) -> None:
        """Announce how many people are in an event's room. realtime/presence.py emits it."""
        self._bus.publish("people", eventId=event_id, people=people)

    def seat_update(self, event_id: str, holder: str, chosen: list[str], *, sender: str) -> None:
        """Emit what someone has chosen to the others who choose seats of this event.

        `sender`: the id of their socket, which is skipped. The caller has checked that `chosen`
        are seats of the event.
        """
        self._emit(events.seat_update(event_id, holder, chosen), skip=sender)

    def entry_allowed(self, event_id: str, user_id: str) -> None:
        """Tell this person's sockets on this instance that they may enter, unless they were told
        within the last seconds."""
        if self._rooms.record_entry(user_id, event_id):
            self.emit_locally(events.queue_entry_allowed(event_id, user_id))

    def stay_ended(self, event_id: str, user_id: str, asked_at: float) -> None:
        """Tell this person's sockets on this instance that their stay is over, if they were told
        before `asked_at` that they may enter.

        `asked_at` (`time.monotonic()`): when Redis was asked, and the person was not inside.
        """
        for sid in self._rooms.forget_entry(user_id, event_id, asked_at):
            self.emit_locally(events.queue_stay_ended(event_id, sid))

    def emit_locally(self, event: RoomEvent, *, skip: Collection[str] = ()) -> None:
        """Send an event to the sockets of this instance, under its name and its alias.

        `skip`: the ids of sockets that do not get it. Other greenlets may run meanwhile.
        """
        alias = ALIASES.get(event.name) if self._aliases else None
        self._rooms.send(event, skip=skip, alias=alias)

    def on_emit(self, message: dict[str, Any]) -> None:
        """Handle a message `tell` of the bus: send its event to the sockets of this instance."""
        event = RoomEvent(message["name"], message["room"], message["payload"])
        if event.name == SEAT_UPDATE:
            self._choices.emit(event, message["skip"])
        elif self._rooms.occupied(event.room):
            self.emit_locally(event)

    def on_admitted(self, message: dict[str, Any]) -> None:
        """Handle a message `admitted` of the bus: tell those people who have a socket here."""
        for user_id in message["userIds"]:
            self.entry_allowed(message["eventId"], user_id)

    def _notify(self, event_id: str) -> None:
        for callback in self.on_change:
            callback(event_id)

    def _emit_queue(self, event: RoomEvent) -> None:
        """Send an event to the sockets of all instances, and once to other programs.

        What concerns one person is relayed by the scripts of the waiting room.
        """
        self._emit(event)
        self._bus.relay(event.name, event.payload)

    def _emit(self, event: RoomEvent, *, skip: str | None = None) -> None:
        """Send an event to the sockets of all instances."""
        self._bus.publish(
            "tell", name=event.name, room=event.room, payload=event.payload, skip=skip
        )
