"""The names of our Redis keys. All keys of one event share a hash tag, as a cluster needs."""

from __future__ import annotations


def version(event_id: str) -> str:
    """A random word that changes with every write of this service to the event's inventory."""
    return f"ticket:{{{event_id}}}:version"


def seat_lock(event_id: str, seat_id: str) -> str:
    """The reservation that is just taking this seat."""
    return f"ticket:{{{event_id}}}:seat-lock:{seat_id}"
