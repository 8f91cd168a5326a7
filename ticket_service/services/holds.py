"""What holding seats and holding tickets have in common.

A hold is a pending reservation with an end. Making one is a single script (sql/hold_seats.sql,
sql/hold_tickets.sql):

1. an advisory lock on the buyer, so that their limit and their Idempotency-Key are judged one
   request at a time;
2. the rows they want, locked in the order of their ids, so that two requests never wait for each
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
"""Won: what the column total_amount can hold."""

_EVENT_EXISTS = SqlScript(event_exists="SELECT FROM events WHERE id = %(event_id)s")


class Gate(Protocol):
    """The door between the waiting room and the sale."""

    def pass_gate(self, user_id: str, event_id: str, seat_ids: list[str], owner: str) -> None:
        """Be inside, or come in on the spot; and take the locks of these seats for `owner`.

        Raises EventNotFound, QueueRequired, SeatLocked, QueueUnavailable, ServiceUnavailable.
        """


class HoldVerdict(StrEnum):
    """The verdicts of hold_seats.sql and hold_tickets.sql; what they mean stands there."""

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
        """Those that hold_seats.sql and hold_tickets.sql have in common."""
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
    """Run a holding script; the columns of its one row, of which the first is a HoldVerdict.

    `waits_for`: the rows for which it stands in line.

    Raises UserNotFound, EventNotFound, ServiceUnavailable.
    """
    try:
        [(verdict, *others)] = postgres.transaction(
            script, parameters, group=request.event_id, waits_for=waits_for
        )
    except ReferenceMissing as error:
        # The seats and ticket types are locked, so it is the user, or the event vanished just now.
        if postgres.transaction(_EVENT_EXISTS, {"event_id": request.event_id}):
            raise UserNotFound from error
        raise EventNotFound from error
    return HoldVerdict(verdict), *others


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


def refusal(verdict: HoldVerdict, rules: HoldRules) -> ServiceError:
    """The error for a verdict that both kinds of hold can meet."""
    errors: dict[HoldVerdict, ServiceError] = {
        HoldVerdict.EVENT_NOT_FOUND: EventNotFound(),
        HoldVerdict.SALE_NOT_OPEN: SaleNotOpen(),
        HoldVerdict.LIMIT_EXCEEDED: LimitExceeded(
            {"limit": rules.max_live_per_buyer}, limit=rules.max_live_per_buyer
        ),
        HoldVerdict.AMOUNT_TOO_LARGE: AmountTooLarge(),
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
