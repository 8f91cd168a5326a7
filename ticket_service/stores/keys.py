"""The names of our Redis keys. All keys of one event share a hash tag, as a cluster needs."""

from __future__ import annotations


def version(event_id: str) -> str:
    """A random word that changes with every write of this service to the event's inventory."""
    return f"ticket:{{{event_id}}}:version"


def seat_lock(event_id: str, seat_id: str) -> str:
    """The reservation that is just taking this seat."""
    return f"ticket:{{{event_id}}}:seat-lock:{seat_id}"


def waiting_room(event_id: str) -> list[str]:
    """The waiting room of an event, in the order of lua/waiting_room.lua."""
    parts = ("waiting", "seen", "inside", "pace", "control")
    return [f"ticket:{{{event_id}}}:queue:{part}" for part in parts]


WAITING_LINES = "ticket:waiting-lines"
"""The events whose waiting room wants looking after."""

ADMITTED = "ticket:admitted"
"""The channel on which all instances hear who was admitted."""

SOCKETS = "ticket:sockets"
"""The channel on which instances tell each other what to send to their sockets."""
