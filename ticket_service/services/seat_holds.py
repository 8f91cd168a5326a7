"""Holding chosen seats."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, NamedTuple

from ticket_service.errors import (
    InvalidInput,
    SeatAlreadyReserved,
    SeatLocked,
    SeatNotFound,
)
from ticket_service.services.after_write import AfterWrite, Change, finishing
from ticket_service.services.holds import (
    Gate,
    HoldRequest,
    HoldRules,
    HoldVerdict,
    check_same,
    hold_once,
    refusal,
    run_hold,
)
from ticket_service.services.sql import iso, status
from ticket_service.stores.locks import SeatLocks
from ticket_service.stores.postgres import Postgres, RowLocked, SqlScript
from ticket_service.stores.redis import RedisUnavailable

HOLD_SEATS = SqlScript.from_file("hold_seats")

_FIRST_HOLD = f"""
    SELECT r.event_id::text, r.reservation_number, r.total_amount, {iso("r.expires_at")},
           coalesce(array_agg(i.seat_id::text) FILTER (WHERE i.seat_id IS NOT NULL), '{{}}'),
           json_agg(json_build_object(
               'id', s.id, 'seat_label', s.seat_label, 'price', i.unit_price, 'status',
               CASE {status("r")} WHEN 'pending' THEN 'locked' WHEN 'confirmed' THEN 'reserved'
                             ELSE 'available' END
           ) ORDER BY s.seat_label)
    FROM reservations r
    JOIN reservation_items i ON i.reservation_id = r.id
    LEFT JOIN seats s ON s.id = i.seat_id
    WHERE r.id = %(reservation_id)s
    GROUP BY r.id
"""

FIRST_HOLD = SqlScript(first_seat_hold=_FIRST_HOLD)

log = logging.getLogger(__name__)


class _Decision(NamedTuple):
    """The row that hold_seats.sql returns."""

    verdict: HoldVerdict
    taken: list[str] | None
    total_amount: int
    expires_at: str
    seats: list[dict[str, Any]]


class _SeatHold(NamedTuple):
    """A reservation of seats, with the columns of FIRST_HOLD."""

    event_id: str
    number: str
    total_amount: int
    expires_at: str
    seat_ids: list[str]
    seats: list[dict[str, Any]]

    def shown(self, reservation_id: str) -> dict[str, Any]:
        """Return the reservation in the shape of the API."""
        return {
            "id": reservation_id,
            "reservationNumber": self.number,
            "totalAmount": self.total_amount,
            "expiresAt": self.expires_at,
            "seats": self.seats,
        }


class SeatHolds:
    """Holds chosen seats for a buyer."""

    def __init__(
        self,
        postgres: Postgres,
        gate: Gate,
        locks: SeatLocks,
        after_write: AfterWrite,
        rules: HoldRules,
    ) -> None:
        self._postgres = postgres
        self._gate = gate
        self._locks = locks
        self._after_write = after_write
        self._rules = rules

    def reserve(
        self, buyer_id: str, event_id: str, seat_ids: list[str], idempotency_key: str | None
    ) -> dict[str, Any]:
        """Hold all of these seats for the buyer, or none of them.

        Returns the reservation in the shape of the API. Raises InvalidInput, QueueRequired,
        SeatLocked, SeatAlreadyReserved, SeatNotFound, EventNotFound, SaleNotOpen, LimitExceeded,
        AmountTooLarge, UserNotFound, IdempotencyKeyReused, ServiceUnavailable.
        """
        self._check_count(seat_ids)
        request = HoldRequest.new(buyer_id, event_id, idempotency_key)
        seat_ids = sorted(seat_ids)
        return hold_once(
            request,
            hold=partial(self._reserve, request, seat_ids),
            first=partial(self._first, request, seat_ids),
        )

    def _check_count(self, seat_ids: list[str]) -> None:
        limit = self._rules.max_seats
        if not 1 <= len(seat_ids) <= limit:
            message = "TOO_MANY_SEATS" if seat_ids else "NO_SEATS"
            details = {"seatIds": [f"Choose 1 to {limit} seats."]}
            raise InvalidInput(details, message, limit=limit)
        if len(set(seat_ids)) < len(seat_ids):
            raise InvalidInput({"seatIds": ["Choose each seat once."]}, "SEAT_TWICE")

    def _reserve(self, request: HoldRequest, seat_ids: list[str]) -> dict[str, Any] | None:
        """Pass the gate, make the hold and announce it. Return None for a repeat."""
        event_id = request.event_id
        # The reservation owns the locks. A repeat with the same Idempotency-Key has the same
        # reservation id, so it passes the gate, and waits in PostgreSQL for the first request.
        self._gate.pass_gate(request.buyer_id, event_id, seat_ids, request.reservation_id)
        since = time.monotonic()
        with finishing(partial(self._unlock, request, seat_ids)):
            reservation = self._hold(request, seat_ids)
        if reservation is not None:
            self._after_write.tell(event_id, Change(seat_ids, "locked"), since=since)
        return reservation

    def _unlock(self, request: HoldRequest, seat_ids: list[str], changed: bool) -> None:
        """Release the locks. If something may have changed, invalidate cached answers too."""
        try:
            self._locks.release(request.event_id, seat_ids, request.reservation_id, changed=changed)
        except RedisUnavailable:
            message = "version not changed" if changed else "seat locks not freed"
            log.warning(message, extra={"event_id": request.event_id})

    def _hold(self, request: HoldRequest, seat_ids: list[str]) -> dict[str, Any] | None:
        """Return the new reservation, or None for a repeat."""
        parameters = request.parameters(self._rules) | {"seat_ids": seat_ids}
        try:
            decision = _Decision(*run_hold(self._postgres, HOLD_SEATS, request, parameters))
        except RowLocked as error:
            raise SeatLocked from error
        if decision.verdict == HoldVerdict.REPEATED:
            return None
        if decision.verdict == HoldVerdict.SEAT_NOT_FOUND:
            raise SeatNotFound
        if decision.verdict == HoldVerdict.SEAT_ALREADY_RESERVED:
            taken = decision.taken or []
            raise SeatAlreadyReserved({"seats": taken}, labels=", ".join(taken))
        if decision.verdict != HoldVerdict.ACCEPTED:
            raise refusal(decision.verdict, self._rules)
        return _SeatHold(
            event_id=request.event_id,
            number=parameters["reservation_number"],
            total_amount=decision.total_amount,
            expires_at=decision.expires_at,
            seat_ids=seat_ids,
            seats=decision.seats,
        ).shown(request.reservation_id)

    def _first(self, request: HoldRequest, seat_ids: list[str]) -> dict[str, Any] | None:
        """Return what the first request with this Idempotency-Key made, or None."""
        rows = self._postgres.transaction(FIRST_HOLD, {"reservation_id": request.reservation_id})
        if not rows:
            return None
        first = _SeatHold(*rows[0])
        check_same((request.event_id, seat_ids), (first.event_id, sorted(first.seat_ids)))
        return first.shown(request.reservation_id)
