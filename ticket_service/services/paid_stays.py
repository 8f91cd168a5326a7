"""Ends the stays of people whose reservations another program confirmed in the tables.

The Payment Service may write a payment itself. Then nobody reports it to this service, and the
buyer would keep their place inside until they are silent for long enough. So one instance looks
twice a second for reservations that were confirmed lately, and ends the stays that had begun by
then. A person who came in again since, for more tickets, stays.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from ticket_service.stores.each_event import for_each_event
from ticket_service.stores.postgres import Postgres, SqlScript
from ticket_service.stores.redis import Redis

LOOK_INTERVAL = 0.5
"""Seconds between two looks. A stay is to end within two."""

CLAIM_MS = 450
"""For so long an instance that claimed the reading keeps the others from it."""

LOOK_BACK_SECONDS = 30
"""How far back a reading looks. `updated_at` may be when the transaction began, and a round may be
missed; to end the same stay again does nothing."""

MAX_PEOPLE = 10_000
"""Of one reading; the latest first."""

_CLOCK = "statement_timestamp() AT TIME ZONE 'UTC'"
_SINCE = f"{_CLOCK} - interval '{LOOK_BACK_SECONDS} seconds'"

_PAID = SqlScript(
    paid_lately=f"""
    SELECT event_id::text, user_id::text,
           (extract(epoch FROM {_CLOCK} - max(updated_at)) * 1000)::int
    FROM reservations
    WHERE status = 'confirmed' AND updated_at > {_SINCE} AND updated_at <= {_CLOCK}
      AND event_id IS NOT NULL
    GROUP BY event_id, user_id
    ORDER BY max(updated_at) DESC LIMIT {MAX_PEOPLE}
"""
)


class PaidStays:
    """Looks for payments in the tables."""

    def __init__(
        self,
        postgres: Postgres,
        redis: Redis,
        claim: str,
        end_stays_begun: Callable[[str, Mapping[str, int]], int],
    ) -> None:
        """`claim`: the Redis key that an instance sets to read for all with the same database.
        `end_stays_begun`: ends stays in the waiting room of an event, by person those that began at
        least so many ms ago, and returns how many ended."""
        self._postgres = postgres
        self._redis = redis
        self._end_stays_begun = end_stays_begun
        self._claim = claim

    def end(self) -> int:
        """End the stays of those who paid, unless another instance does so just now. Returns how
        many ended. Call it every LOOK_INTERVAL. Raises ServiceUnavailable."""
        if not self._redis.command("SET", self._claim, 1, "NX", "PX", CLAIM_MS):
            return 0
        read_at = time.monotonic()
        paid: dict[str, dict[str, int]] = defaultdict(dict)
        for event_id, user_id, age in self._postgres.transaction(_PAID):
            paid[event_id][user_id] = age

        def end(event_id: str) -> int:
            since = round((time.monotonic() - read_at) * 1000)
            begun = {user_id: age + since for user_id, age in paid[event_id].items()}
            return self._end_stays_begun(event_id, begun)

        return sum(for_each_event("paid-stays", paid, end).values())
