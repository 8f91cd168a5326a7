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

PROBE = "ticket:probe"
"""What readiness writes, to see that Redis takes writes."""

BUS = "ticket:bus"
"""The channel on which instances tell each other what changed."""


def presence(event_id: str) -> list[str]:
    """Who looks at an event, in the order of lua/presence.lua; the last is the beginning of the
    names of one set for each instance."""
    parts = ("people", "instances", "told", "at:")
    return [f"ticket:{{{event_id}}}:presence:{part}" for part in parts]


def seat_reading(event_id: str) -> str:
    """The instance that reads, this second, what other programs changed of the event's seats."""
    return f"ticket:{{{event_id}}}:seat-reading"


def session(user_id: str) -> list[str]:
    """The rooms in which a person was last, the seats that they had chosen, and their messages, in
    the order of lua/session.lua; and their sockets, which are kept as long."""
    parts = ("rooms", "choice", "messages")
    return [*(f"ticket:{{{user_id}}}:session:{part}" for part in parts), sockets(user_id)]


def sockets(user_id: str) -> str:
    """How many sockets a person has on each instance."""
    return f"ticket:{{{user_id}}}:sockets"


INSTANCES = "ticket:instances"
"""The instances that live."""
