"""The events for browsers: names, rooms and payloads (docs/contract.md, "What clients hear")."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ticket_service.messages import sentence


class RoomEvent(NamedTuple):
    """One event for one room."""

    name: str
    room: str
    payload: dict[str, Any]

    def coalescing_key(self) -> Hashable:
        """The same for events of which only the latest matters, as two about one seat."""
        if "seatId" in self.payload:
            return str(self.payload["seatId"])  # `seat-locked` and `seat-released` alike
        return self.name, *(self.payload.get(of) for of in ("eventId", "ticketTypeId", "holder"))


def person(user_id: str) -> str:
    """The room of all sockets of one person."""
    return f"user:{user_id}"


def event(event_id: str) -> str:
    """The room of those who look at an event."""
    return f"event:{event_id}"


def seats(event_id: str) -> str:
    """The room of those who choose seats of an event."""
    return f"seats:{event_id}"


def queue(event_id: str) -> str:
    """The room of those who look at an event's waiting room."""
    return f"queue:{event_id}"


def queue_entry_allowed(event_id: str, user_id: str) -> RoomEvent:
    """This person was admitted; to their own room."""
    payload = {"eventId": event_id, "userId": user_id, "message": sentence("ENTRY_ALLOWED", "ko")}
    return RoomEvent("queue-entry-allowed", person(user_id), payload)


def queue_updated(event_id: str, waiting: int, inside: int, threshold: int) -> RoomEvent:
    """The numbers of a waiting room: people waiting, people inside, and how many may be."""
    payload = {
        "eventId": event_id,
        "queueSize": waiting,
        "currentUsers": inside,
        "threshold": threshold,
        "timestamp": now(),
    }
    return RoomEvent("queue-updated", queue(event_id), payload)


def queue_cleared(event_id: str) -> RoomEvent:
    """Everyone was sent away."""
    payload = {"eventId": event_id, "message": sentence("QUEUE_WAS_CLEARED", "ko")}
    return RoomEvent("queue-cleared", queue(event_id), payload)


def queue_stay_ended(event_id: str, sid: str) -> RoomEvent:
    """A person's stay is over; to one of their sockets."""
    payload = {"eventId": event_id, "message": sentence("STAY_ENDED", "ko")}
    return RoomEvent("queue-stay-ended", sid, payload)


def room_info(event_id: str, people: int) -> RoomEvent:
    """How many people look at an event, on all instances."""
    return RoomEvent("room-info", event(event_id), {"eventId": event_id, "userCount": people})


def event_status(event_id: str, status: str) -> RoomEvent:
    """An event has another status than before: its sale began or ended, it is sold out, …"""
    return RoomEvent("event-status", event(event_id), {"eventId": event_id, "status": status})


def seat_changed(event_id: str, seat_id: str, status: str) -> RoomEvent:
    """A seat was taken, paid for, or given back; `status` is as in the seat map."""
    name = "seat-released" if status == "available" else "seat-locked"
    payload = {"eventId": event_id, "seatId": seat_id, "status": status, "timestamp": now()}
    return RoomEvent(name, seats(event_id), payload)


def seat_update(event_id: str, holder: str, chosen: list[str]) -> RoomEvent:
    """Which seats someone has chosen and not yet taken.

    `holder`: stands for the person, in this event only.
    """
    payload = {"eventId": event_id, "holder": holder, "seats": chosen}
    return RoomEvent(SEAT_UPDATE, seats(event_id), payload)


def ticket_updated(event_id: str, ticket_type_id: str, available: int, total: int) -> RoomEvent:
    """How many tickets of a type are left."""
    payload = {
        "eventId": event_id,
        "ticketTypeId": ticket_type_id,
        "availableQuantity": available,
        "totalQuantity": total,
        "timestamp": now(),
    }
    return RoomEvent("ticket-updated", event(event_id), payload)


def session_restored(sid: str, rooms: list[str], chosen: list[str]) -> RoomEvent:
    """A socket was put back into these rooms, one of each kind at most."""
    last = dict(room.split(":", 1) for room in rooms)
    payload = {
        "eventId": last.get("event"),
        "queueEventId": last.get("queue"),
        "seatEventId": last.get("seats"),
        "selectedSeats": chosen,
    }
    return RoomEvent("session-restored", sid, payload)


SEAT_UPDATE = "seat-update"

ALIASES = {"seat-locked": "seat-selected", "seat-released": "seats-released"}
"""A second name for some events, for which the existing browser client listens."""


def now() -> str:
    """The current time, as `wire_time` writes it."""
    return wire_time(datetime.now(UTC))


def wire_time(moment: datetime) -> str:
    """A time in UTC as text: ISO 8601 with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
