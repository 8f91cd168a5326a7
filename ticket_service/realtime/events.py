"""What browsers are told: names, rooms and payloads of the wire contract, section 3."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from ticket_service.messages import sentence


class Told(NamedTuple):
    """One event to one room."""

    name: str
    room: str
    payload: dict[str, Any]


def person(user_id: str) -> str:
    """The room of all sockets of one person."""
    return f"user:{user_id}"


def queue(event_id: str) -> str:
    """The room of those who look at an event's waiting room."""
    return f"queue:{event_id}"


def queue_entry_allowed(event_id: str, user_id: str) -> Told:
    """To the person who was admitted."""
    payload = {"eventId": event_id, "userId": user_id, "message": sentence("ENTRY_ALLOWED", "ko")}
    return Told("queue-entry-allowed", person(user_id), payload)


def queue_updated(event_id: str, waiting: int, inside: int, threshold: int) -> Told:
    """How long the line is."""
    payload = {
        "eventId": event_id,
        "queueSize": waiting,
        "currentUsers": inside,
        "threshold": threshold,
        "timestamp": _now(),
    }
    return Told("queue-updated", queue(event_id), payload)


def queue_cleared(event_id: str) -> Told:
    """Everyone was sent away."""
    payload = {"eventId": event_id, "message": sentence("QUEUE_WAS_CLEARED", "ko")}
    return Told("queue-cleared", queue(event_id), payload)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
