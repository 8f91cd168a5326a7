"""Short locks on seats in Redis, which refuse a second buyer before they cost a transaction.

They only save time. If a lock vanishes or expires under its owner nothing is sold twice, since the
row locks in PostgreSQL decide (docs/architecture.md, "Rules"). `WaitingLines.pass_gate` takes them,
in the same call that checks the waiting room.
"""

from __future__ import annotations

from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript, Redis
from ticket_service.stores.versions import VERSION_TTL, new_version

LOCK_TTL_MS = 10_000
"""Longer than a transaction can take. So a lock expires only under an owner that died."""


class SeatLocks:
    """Frees locks on the seats of one event, owned by the reservation that wanted them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._release = LuaScript("release_locks")

    def release(self, event_id: str, seat_ids: list[str], owner: str, *, changed: bool) -> None:
        """Free the locks that `owner` still has and, if `changed`, set a new version of the
        event's inventory, in one call.

        Raises RedisUnavailable; then the locks expire by themselves.
        """
        locks = [keys.seat_lock(event_id, seat_id) for seat_id in seat_ids]
        version = new_version() if changed else ""
        self._redis.run(
            self._release, [keys.version(event_id), *locks], owner, version, VERSION_TTL
        )
