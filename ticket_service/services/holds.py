"""What holding seats and holding tickets have in common.

A hold is a pending reservation that expires. One script makes it (sql/hold_seats.sql,
sql/hold_tickets.sql):

1. It takes an advisory lock on the buyer, so that their limit and their Idempotency-Key are
   checked by one request at a time.
2. It locks the rows that they want in the order of their ids, which prevents deadlocks
   (docs/architecture.md, "Rules").
3. One statement decides on a *verdict*, and writes only if the verdict is ACCEPTED.

The other writers lock the reservation, its seats and its ticket types in that order, each by id.
Nobody can wait for the row of a new reservation, so they cannot deadlock with a hold.

A repeat of a request whose reservation was made must succeed even if it cannot get a place in the
waiting room or a lock. So `hold_once` looks for the reservation, without any lock, before it
refuses.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

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
from ticket_service.stores.postgres import NothingWritten, Postgres, ReferenceMissing, SqlScript
from ticket_service.stores.stuck_rows import Rows

MAX_AMOUNT = 2_147_483_647
"""In won: the maximum of the column total_amount."""

_EVENT_EXISTS = SqlScript(event_exists="SELECT FROM events WHERE id = %(event_id)s")


class Gate(Protocol):
    """The check between the waiting room and the sale."""

    def pass_gate(self, user_id: str, event_id: str, seat_ids: list[str], owner: str) -> None:
        """Check that the user is inside, or let them in, and lock these seats for `owner`.

        Raises EventNotFound, QueueRequired, SeatLocked, QueueUnavailable, ServiceUnavailable.
        """


class HoldVerdict(StrEnum):
    """The verdicts of hold_seats.sql and hold_tickets.sql, which explain them."""

    ACCEPTED = "ACCEPTED"
    REPEATED = "REPEATED"
    EVENT_NOT_FOUND = "EVENT_NOT_FOUND"
    SEAT_NOT_FOUND = "SEAT_NOT_FOUND"
    TICKET_TYPE_NOT_FOUND = "TICKET_TYPE_NOT_FOUND"
    SALE_NOT_OPEN = "SALE_NOT_OPEN"
    SEAT_ALREADY_RESERVED = "SEAT_ALREADY_RESERVED"
    TICKETS_SOLD_OUT = "TICKETS_SOLD_OUT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class HoldRules:
    """The limits of a hold, from the settings."""

    ttl_seconds: int
    max_seats: int
    max_tickets: int
    max_live_per_buyer: int

    @classmethod
    def of(cls, settings: Settings) -> HoldRules:
        """Take the limits from the settings."""
        return cls(
            ttl_seconds=settings.hold_ttl_seconds,
            max_seats=settings.max_seats_per_reservation,
            max_tickets=settings.max_tickets_per_reservation,
            max_live_per_buyer=settings.max_live_tickets_per_buyer,
        )


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A request to hold something: the buyer, the event, and the id of the reservation."""

    buyer_id: str
    event_id: str
    reservation_id: str
    has_key: bool
    """Whether it has an Idempotency-Key, and so may be a repeat."""

    @classmethod
    def new(cls, buyer_id: str, event_id: str, idempotency_key: str | None) -> HoldRequest:
        """Make a request. With a key, the reservation's id is derived from buyer and key, so a
        repeat finds the first reservation by its id and keys need not be stored."""
        if idempotency_key is None:
            reservation_id = uuid.uuid4()
        else:
            reservation_id = uuid.uuid5(uuid.UUID(buyer_id), idempotency_key)
        return cls(buyer_id, event_id, str(reservation_id), idempotency_key is not None)

    def parameters(self, rules: HoldRules) -> dict[str, Any]:
        """Return the parameters that hold_seats.sql and hold_tickets.sql have in common."""
        return {
            "buyer_id": self.buyer_id,
            "event_id": self.event_id,
            "reservation_id": self.reservation_id,
            "reservation_number": self._reservation_number(),
            "hold_ttl": rules.ttl_seconds,
            "limit": rules.max_live_per_buyer,
            "max_amount": MAX_AMOUNT,
        }

    def _reservation_number(self) -> str:
        """Return a number such as ``T261122-KX7Q2MHN4RWB``: the day in UTC, and 60 bits of the
        reservation's id, of which at least 58 are random."""
        word = base64.b32encode(uuid.UUID(self.reservation_id).bytes[8:])[:12].decode()
        return f"T{datetime.now(UTC):%y%m%d}-{word}"


def run_hold(
    postgres: Postgres,
    script: SqlScript,
    request: HoldRequest,
    parameters: dict[str, Any],
    waits_for: Rows = (),
) -> tuple[Any, ...]:
    """Run a script that holds, and return the columns of its row: first the HoldVerdict.

    `waits_for`: the rows whose locks it waits for.

    Raises UserNotFound, EventNotFound, ServiceUnavailable.
    """
    try:
        [(verdict, *others)] = postgres.transaction(
            script, parameters, group=request.event_id, waits_for=waits_for
        )
    except ReferenceMissing as error:
        # The seats and ticket types are locked, so the user or the event is missing.
        if postgres.transaction(_EVENT_EXISTS, {"event_id": request.event_id}):
            raise UserNotFound from error
        raise EventNotFound from error
    return HoldVerdict(verdict), *others


def hold_once(
    request: HoldRequest,
    hold: Callable[[], dict[str, Any] | None],
    first: Callable[[], dict[str, Any] | None],
) -> dict[str, Any]:
    """Return the reservation that `hold` makes, or for a repeat the one that was made before.

    Args:
        request: the request.
        hold: makes the reservation, and returns None for a repeat.
        first: reads without a lock what the first request made, and returns None if nothing.

    Raises what they raise, and ServiceUnavailable.
    """
    try:
        reservation = hold()
    except (QueueRequired, QueueUnavailable, SeatLocked, NothingWritten):
        reservation = first() if request.has_key else None
        if reservation is None:
            raise
    reservation = reservation or first()
    if reservation is None:  # somebody deleted it between the two statements
        raise ServiceUnavailable
    return reservation


def refusal(verdict: HoldVerdict, rules: HoldRules) -> ServiceError:
    """Return the error for a verdict that both kinds of hold can have."""
    errors: dict[HoldVerdict, ServiceError] = {
        HoldVerdict.EVENT_NOT_FOUND: EventNotFound(),
        HoldVerdict.SALE_NOT_OPEN: SaleNotOpen(),
        HoldVerdict.LIMIT_EXCEEDED: LimitExceeded(
            {"limit": rules.max_live_per_buyer}, limit=rules.max_live_per_buyer
        ),
        HoldVerdict.AMOUNT_TOO_LARGE: AmountTooLarge(limit=f"{MAX_AMOUNT:,}"),
    }
    return errors[verdict]


def check_same(repeated: object, first: object) -> None:
    """Raise IdempotencyKeyReused unless a repeat asks for the same as the first request."""
    if repeated != first:
        raise IdempotencyKeyReused
