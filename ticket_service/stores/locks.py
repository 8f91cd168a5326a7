"""Short locks on seats in Redis, which refuse a second buyer before they cost a transaction.

They only save time. If a lock vanishes or expires under its owner nothing is sold twice, since the
row locks in PostgreSQL decide (docs/architecture.md, "Rules"). `WaitingLines.pass_gate` takes them,
in the same call that checks the waiting room.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from ticket_service.stores import deadline, keys
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.redis import LuaScript, Redis
from ticket_service.stores.versions import VERSION_TTL, new_version

LOCK_TTL_MS = 10_000
"""Longer than a transaction can take. So a lock expires only under an owner that died."""


class _Held(NamedTuple):
    """Locks to free."""

    seat_ids: list[str]
    owner: str
    changed: bool


class SeatLocks:
    """Frees locks on the seats of one event, owned by the reservation that wanted them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._release = LuaScript("release_locks")
        self._coalescer: Coalescer[None] = Coalescer()
        self._waiting: defaultdict[str, list[_Held]] = defaultdict(list)

    def release(self, event_id: str, seat_ids: list[str], owner: str, *, changed: bool) -> None:
        """Free the locks that `owner` still has and, if `changed`, set a new version of the
        event's inventory. Concurrent callers of one event share one call to Redis.

        Raises RedisUnavailable; then the locks expire by themselves.
        """
        self._waiting[event_id].append(_Held(seat_ids, owner, changed))
        with deadline.shared():
            self._coalescer.run(event_id, lambda: self._release_all(event_id))

    def _release_all(self, event_id: str) -> None:
        """Free all that wait. Whoever waits for this run was listed before it."""
        held = self._waiting.pop(event_id)
        locks = [
            (keys.seat_lock(event_id, seat_id), owner)
            for seat_ids, owner, _ in held
            for seat_id in seat_ids
        ]
        version = new_version() if any(changed for _, _, changed in held) else ""
        names = [keys.version(event_id), *(name for name, _ in locks)]
        self._redis.run(self._release, names, version, VERSION_TTL, *(owner for _, owner in locks))
