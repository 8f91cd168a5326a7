"""Short locks on seats: they turn the second buyer away before they cost a transaction.

They only make it fast. A lock may vanish or expire under its owner and nothing is sold twice: the
row locks in PostgreSQL decide (docs/architecture.md, "Rules"). They are taken together with the
step into the waiting room (waiting_lines.py), in one call.
"""

from __future__ import annotations

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis
from ticket_service.stores.versions import VERSION_TTL, new_version

LOCK_TTL_MS = 10_000
"""Longer than a transaction can take, so a lock outlives only an owner that died."""


class SeatLocks:
    """Frees locks on the seats of one event, owned by the reservation that wanted them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._release = LuaScript("release_locks")

    def release(self, event_id: str, seat_ids: list[str], owner: str, *, changed: bool) -> None:
        """Free what `owner` still has and, if the inventory changed, give it a new version.

        One call for both. Raises RedisUnavailable; the locks then end by themselves.
        """
        locks = [keys.seat_lock(event_id, seat_id) for seat_id in seat_ids]
        version = new_version() if changed else ""
        self._redis.run(
            self._release, [keys.version(event_id), *locks], owner, version, VERSION_TTL
        )
