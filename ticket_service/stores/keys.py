"""The names of our Redis keys and channels. All keys of one event share a hash tag."""

from __future__ import annotations

import zlib


def version(event_id: str) -> str:
    """A random value that changes with every write of this service to the event's inventory."""
    return f"ticket:{{{event_id}}}:version"


def seat_lock(event_id: str, seat_id: str) -> str:
    """The lock on a seat; its value is the id of the reservation that is taking the seat."""
    return f"ticket:{{{event_id}}}:seat-lock:{seat_id}"


def waiting_room(event_id: str) -> list[str]:
    """The keys of an event's waiting room, in the order of lua/waiting_room.lua."""
    parts = ("waiting", "seen", "inside", "pace", "control", "left", "tickets")
    return [f"ticket:{{{event_id}}}:queue:{part}" for part in parts]


WAITING_LINES = "ticket:waiting-lines"
"""The events that have a line or are paused."""

ADMITTED = "ticket:admitted"
"""The channel on which lua/queue_admit.lua publishes who was admitted."""

PROBE = "ticket:probe"
"""Written by the readiness probe, to see that Redis takes writes."""

BUS = "ticket:bus"
"""The channel of realtime/bus.py."""


def presence(event_id: str) -> list[str]:
    """The keys of an event's presence, in the order of lua/presence.lua. The last is a prefix: one
    set for each instance has it."""
    parts = ("people", "instances", "told", "at:")
    return [f"ticket:{{{event_id}}}:presence:{part}" for part in parts]


def seat_reading(event_id: str) -> str:
    """Claims the reading of an event's seats: it exists while one instance has the claim."""
    return f"ticket:{{{event_id}}}:seat-reading"


def payment_reading(database: str) -> str:
    """Claims the reading of a database's payments: it exists while one instance has the claim."""
    return f"ticket:payment-reading:{zlib.crc32(database.encode()):08x}"


def session(user_id: str) -> list[str]:
    """The keys of a person's session, in the order of lua/session.lua: their rooms, their chosen
    seats, their message limit, and their sockets, which are kept as long as the session."""
    parts = ("rooms", "choice", "messages")
    return [*(f"ticket:{{{user_id}}}:session:{part}" for part in parts), sockets(user_id)]


def sockets(user_id: str) -> str:
    """The number of a person's sockets on each instance."""
    return f"ticket:{{{user_id}}}:sockets"


RATE_LIMITS = "ticket:{limits}"
"""The beginning of all counters of rate limits, to which `limits` adds the limit's name, the person
or address, and the limit itself."""

INSTANCES = "ticket:instances"
"""The instances that are alive."""
