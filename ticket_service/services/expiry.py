"""Ends the holds that ran out: their seats and stock come back, and everyone is told.

Every instance does this; a hold that one of them has locked, the others skip. A payment locks the
reservation too, so it comes wholly before the end or wholly after it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import NamedTuple

from cachetools import TTLCache

from ticket_service.errors import ServiceUnavailable
from ticket_service.realtime.announcer import Announcer
from ticket_service.services.admissions import Admissions
from ticket_service.stores.postgres import Postgres, Script
from ticket_service.stores.versions import Versions

ASIDE_SECONDS = 60
"""After which a hold that could not be ended is tried again."""

BATCH = 200
"""Holds in one transaction: it keeps the rows of their ticket types for some milliseconds."""

# Where migrations are off, an old CHECK may know no 'expired'.
_OVER = """
    SELECT CASE WHEN EXISTS (
        SELECT FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.conrelid = 'reservations'::regclass AND c.contype = 'c' AND a.attname = 'status'
          AND cardinality(c.conkey) = 1
          AND strpos(pg_get_constraintdef(c.oid), quote_literal('pending')) > 0
          AND strpos(pg_get_constraintdef(c.oid), quote_literal('expired')) = 0
    ) THEN 'cancelled' ELSE 'expired' END
"""

# The order of holds.py: the reservations, then seats by id, then ticket types by id; a new buyer
# does not wait for a seat, but a late payment does. The time is that of the statement, which an
# index can use. Like a cancellation, the end moves expires_at back, for a payment compares it with
# the time at which its own transaction began.
_END = f"""
    WITH due AS MATERIALIZED (
        SELECT id, event_id, user_id, expires_at FROM reservations
        WHERE status = 'pending' AND payment_status <> 'completed'
          AND expires_at <= statement_timestamp() AT TIME ZONE 'UTC'
          AND id <> ALL (%(aside)s::uuid[])
          AND (%(only)s::uuid IS NULL OR id = %(only)s::uuid)
        ORDER BY expires_at LIMIT %(batch)s
        FOR UPDATE SKIP LOCKED
    ),
    items AS MATERIALIZED (
        SELECT due.id, i.seat_id, i.ticket_type_id, i.quantity
        FROM due JOIN reservation_items i ON i.reservation_id = due.id
    ),
    places AS MATERIALIZED (
        SELECT id FROM seats WHERE id IN (SELECT seat_id FROM items) ORDER BY id FOR UPDATE
    ),
    types AS MATERIALIZED (
        SELECT id FROM ticket_types WHERE id IN (SELECT ticket_type_id FROM items)
        ORDER BY id FOR UPDATE
    ),
    ended AS (
        UPDATE reservations r SET status = ({_OVER}), expires_at = r.created_at
        FROM due WHERE r.id = due.id
    ),
    seats_back AS (
        UPDATE seats s SET status = 'available' FROM places WHERE s.id = places.id
    ),
    stock_back AS (
        UPDATE ticket_types t SET available_quantity = t.available_quantity + back.quantity
        FROM types JOIN (
            SELECT ticket_type_id, sum(quantity) AS quantity FROM items GROUP BY ticket_type_id
        ) back ON back.ticket_type_id = types.id
        WHERE t.id = types.id
    )
    SELECT due.event_id::text, due.user_id::text,
           extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - due.expires_at)::float,
           ARRAY(SELECT items.seat_id::text FROM items
                 WHERE items.id = due.id AND items.seat_id IS NOT NULL),
           EXISTS (SELECT FROM items WHERE items.id = due.id AND items.ticket_type_id IS NOT NULL)
    FROM due
"""

END_HOLDS = Script(end_holds=_END)


_DUE = Script(
    due_holds="""
    SELECT id::text FROM reservations
    WHERE status = 'pending' AND payment_status <> 'completed'
      AND expires_at <= statement_timestamp() AT TIME ZONE 'UTC'
      AND id <> ALL (%(aside)s::uuid[])
    ORDER BY expires_at LIMIT %(batch)s
"""
)

log = logging.getLogger(__name__)


class _Ended(NamedTuple):
    """One hold that was ended."""

    event_id: str | None
    user_id: str
    lag: float
    """Seconds after its end."""
    seat_ids: list[str]
    has_tickets: bool


class Expiry:
    """Ends holds."""

    def __init__(
        self,
        postgres: Postgres,
        versions: Versions,
        admissions: Admissions,
        announcer: Announcer,
    ) -> None:
        self._postgres = postgres
        self._versions = versions
        self._admissions = admissions
        self._announcer = announcer
        self._aside: TTLCache[str, None] = TTLCache(10_000, ASIDE_SECONDS)

    def end_holds(self) -> list[float]:
        """End all holds that are past their end; by how many seconds each was.

        To be called a few times a second. Raises ServiceUnavailable.
        """
        try:
            return self._end_all()
        except ServiceUnavailable:
            raise
        except Exception:
            log.exception("holds not ended together")
            return self._end_each()

    def _end_all(self) -> list[float]:
        lags: list[float] = []
        while True:
            ended = self._end(batch=BATCH, only=None)
            lags += ended
            if len(ended) < BATCH:
                return lags

    def _end_each(self) -> list[float]:
        """One by one: what is wrong with one of them must not hold up the others."""
        lags: list[float] = []
        parameters = {"batch": BATCH, "aside": list(self._aside)}
        for (reservation_id,) in self._postgres.transaction(_DUE, parameters):
            try:
                lags += self._end(batch=1, only=reservation_id)
            except ServiceUnavailable:
                raise
            except Exception:
                log.exception("hold not ended", extra={"reservation_id": reservation_id})
                self._aside[reservation_id] = None
        return lags

    def _end(self, *, batch: int, only: str | None) -> list[float]:
        """End one batch, and tell; how late each was."""
        parameters = {"batch": batch, "only": only, "aside": list(self._aside)}
        rows = self._postgres.transaction(END_HOLDS, parameters)
        ended = [_Ended(*row) for row in rows]
        self._tell(ended)
        return [hold.lag for hold in ended]

    def _tell(self, ended: list[_Ended]) -> None:
        by_event: dict[str, list[_Ended]] = defaultdict(list)
        for hold in ended:
            if hold.event_id is not None:
                by_event[hold.event_id].append(hold)
        for event_id, holds in by_event.items():
            self._versions.change(event_id)
            seat_ids = [seat_id for hold in holds for seat_id in hold.seat_ids]
            if seat_ids:
                self._announcer.seats_changed(event_id, seat_ids, "available")
            if any(hold.has_tickets for hold in holds):
                self._announcer.stock_changed(event_id)
            self._admissions.end_stays(event_id, {hold.user_id for hold in holds})
