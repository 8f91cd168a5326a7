"""Where a person was last, kept so that a socket that reconnects finds its rooms again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import orjson

from ticket_service.stores import keys
from ticket_service.stores.redis import Redis

SESSION_TTL = 3600
"""Seconds."""


@dataclass(slots=True)
class Session:
    """The rooms of a person, in the order in which he joined them, and the seats he chose."""

    rooms: list[str] = field(default_factory=list)
    selected_seats: list[str] = field(default_factory=list)


class Sessions:
    """The sessions of all people. All methods raise RedisUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def read(self, user_id: str) -> Session | None:
        """The person's session; None where there is none, or it is too old."""
        text = self._redis.command("GET", keys.session(user_id))
        return Session(**orjson.loads(text)) if text else None

    def write(self, user_id: str, session: Session) -> None:
        """Keep the session; one without rooms is forgotten."""
        key = keys.session(user_id)
        if session.rooms:
            self._redis.command(
                "SET", key, orjson.dumps(asdict(session)).decode(), "EX", SESSION_TTL
            )
        else:
            self._redis.command("DEL", key)
