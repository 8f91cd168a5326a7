"""What holding seats and holding tickets have in common.

A hold is a pending reservation with an end. Making one is a single script (stores/postgres.py):

1. an advisory lock on the buyer, so that his limit and his Idempotency-Key are judged one request
   at a time;
2. the rows he wants, locked in the order of their ids, so that two requests never wait for each
   other in a circle (docs/architecture.md, "Rules");
3. one statement that decides — its *verdict* — and writes everything only if the verdict is
   ACCEPTED.

Others lock in this order too: the reservation, then its seats, then its ticket types, each by id.
A new reservation's row is nobody's to wait for, so no circle closes.

The repeat of a request whose reservation was made needs nothing of this, and no place inside and no
seat lock either: where one of them is refused, `hold_once` looks for the reservation, without any
lock, before it says so.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ticket_service.config import Settings
from ticket_service.errors import (
    AmountTooLarge,
    EventNotFound,
    IdempotencyKeyReused,
    LimitExceeded,
    QueueRequired,
    QueueUnavailable,
    SaleNotOpen,
    SeatLocked,
    ServiceError,
    ServiceUnavailable,
    UserNotFound,
)
from ticket_service.services.sql import NOW
from ticket_service.stores.postgres import NothingWritten, Postgres, ReferenceMissing, SqlScript
from ticket_service.stores.stuck_rows import Rows

MAX_AMOUNT = 2_147_483_647
"""Won: what the column total_amount can hold."""

_EVENT_EXISTS = SqlScript(event_exists="SELECT FROM events WHERE id = %(event_id)s")

LOCK_BUYER = """
    SELECT pg_advisory_xact_lock(hashtextextended('ticket-service:buyer:' || %(buyer_id)s, 0))
"""

CIRCUMSTANCES = f"""
    clock AS (SELECT {NOW} AS now),
    event AS (
        SELECT title,
               status NOT IN ('cancelled', 'ended')
                   AND now >= sale_start_date AND now < sale_end_date AS on_sale
        FROM events, clock
        WHERE id = %(event_id)s
    ),
    earlier AS (SELECT FROM reservations WHERE id = %(reservation_id)s),
    live AS (
        SELECT coalesce(sum(i.quantity), 0) AS quantity
        FROM clock, reservations r JOIN reservation_items i ON i.reservation_id = r.id
        WHERE r.user_id = %(buyer_id)s AND r.event_id = %(event_id)s
          AND (r.status = 'confirmed' OR r.status = 'pending' AND r.expires_at > now)
    )
"""
"""CTEs: the time, the event, this very reservation if it was made before, and how much the buyer
has of this event already."""

WRITE_RESERVATION = """
    reservation AS (
        INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount, status,
                                  payment_status, expires_at)
        SELECT %(reservation_id)s::uuid, %(buyer_id)s::uuid, %(event_id)s::uuid,
               %(reservation_number)s::text,
               verdict.amount, 'pending', 'pending',
               clock.now + make_interval(secs => %(hold_ttl)s)
        FROM verdict, clock
        WHERE verdict.code = 'ACCEPTED'
        RETURNING id, total_amount, expires_at
    )
"""
"""CTE: the row of the new reservation, if the verdict allows it."""


@dataclass(frozen=True, slots=True)
class HoldRules:
    """The limits of a hold, from the settings."""

    ttl_seconds: int
    max_seats: int
    max_tickets: int
    max_live_per_buyer: int

    @classmethod
    def of(cls, settings: Settings) -> HoldRules:
        """As the settings say."""
        return cls(
            ttl_seconds=settings.hold_ttl_seconds,
            max_seats=settings.max_seats_per_reservation,
            max_tickets=settings.max_tickets_per_reservation,
            max_live_per_buyer=settings.max_live_tickets_per_buyer,
        )


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Who wants to hold something of which event, and under which reservation id."""

    buyer_id: str
    event_id: str
    reservation_id: str
    has_key: bool
    """Whether it has an Idempotency-Key, so that it may be a repeat."""

    @classmethod
    def new(cls, buyer_id: str, event_id: str, idempotency_key: str | None) -> HoldRequest:
        """With a key, the id follows from buyer and key, so that a repeat finds the first
        reservation in PostgreSQL itself and needs no memory of keys."""
        if idempotency_key is None:
            reservation_id = uuid.uuid4()
        else:
            reservation_id = uuid.uuid5(uuid.UUID(buyer_id), idempotency_key)
        return cls(buyer_id, event_id, str(reservation_id), idempotency_key is not None)

    def parameters(self, rules: HoldRules) -> dict[str, Any]:
        """What LOCK_BUYER, CIRCUMSTANCES and WRITE_RESERVATION refer to."""
        return {
            "buyer_id": self.buyer_id,
            "event_id": self.event_id,
            "reservation_id": self.reservation_id,
            "reservation_number": _reservation_number(),
            "hold_ttl": rules.ttl_seconds,
            "limit": rules.max_live_per_buyer,
            "max_amount": MAX_AMOUNT,
        }


def run_hold(
    postgres: Postgres,
    script: SqlScript,
    request: HoldRequest,
    parameters: dict[str, Any],
    waits_for: Rows = (),
) -> tuple[Any, ...]:
    """Run a holding script; its one row. `waits_for`: the rows for which it stands in line.

    Raises UserNotFound, EventNotFound, ServiceUnavailable.
    """
    try:
        return postgres.transaction(
            script, parameters, group=request.event_id, waits_for=waits_for
        )[0]
    except ReferenceMissing as error:
        # The seats and ticket types are locked, so it is the user, or the event vanished just now.
        if postgres.transaction(_EVENT_EXISTS, {"event_id": request.event_id}):
            raise UserNotFound from error
        raise EventNotFound from error


def hold_once(
    request: HoldRequest,
    hold: Callable[[], dict[str, Any] | None],
    first: Callable[[], dict[str, Any] | None],
) -> dict[str, Any]:
    """The reservation that `hold` makes; for a repeat the one that was made, whatever others do.

    Args:
        request: what is asked for.
        hold: makes the reservation; gives None for a repeat.
        first: reads, without a lock, what the first request made; gives None if that is nothing.

    Raises what they raise, and ServiceUnavailable.
    """
    try:
        reservation = hold()
    except (QueueRequired, QueueUnavailable, SeatLocked, NothingWritten):
        reservation = first() if request.has_key else None
        if reservation is None:
            raise
    reservation = reservation or first()
    if reservation is None:  # deleted by hand, between two statements
        raise ServiceUnavailable
    return reservation


def refusal(verdict: str, rules: HoldRules) -> ServiceError:
    """The error for a verdict that both kinds of hold can meet."""
    errors: dict[str, ServiceError] = {
        "EVENT_NOT_FOUND": EventNotFound(),
        "SALE_NOT_OPEN": SaleNotOpen(),
        "LIMIT_EXCEEDED": LimitExceeded(
            {"limit": rules.max_live_per_buyer}, limit=rules.max_live_per_buyer
        ),
        "AMOUNT_TOO_LARGE": AmountTooLarge(),
    }
    return errors[verdict]


def check_same(repeated: object, first: object) -> None:
    """Raise IdempotencyKeyReused unless a repeated request asks for what the first one did."""
    if repeated != first:
        raise IdempotencyKeyReused


def _reservation_number() -> str:
    """For example ``T261122-KX7Q2MHN4RWB``: the day in UTC, and 60 random bits."""
    word = base64.b32encode(secrets.token_bytes(8))[:12].decode()
    return f"T{datetime.now(UTC):%y%m%d}-{word}"
