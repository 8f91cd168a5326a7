"""Holding tickets: a number of tickets of a type, without seats.

Two buyers of one ticket type can both succeed, so the second one waits for the row lock instead of
being refused (docs/architecture.md, "Rules"). The lock is held for one statement and the commit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from ticket_service.errors import InvalidInput, TicketsSoldOut, TicketTypeNotFound
from ticket_service.services.after_write import AfterWrite, Change
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
from ticket_service.services.sql import iso, payment_status, status
from ticket_service.stores.postgres import Postgres, SqlScript

HOLD_TICKETS = SqlScript.from_file("hold_tickets")

_FIRST_HOLD = f"""
    SELECT r.event_id::text, r.reservation_number, e.title, r.total_amount, {status("r")},
           {payment_status("r")}, {iso("r.expires_at")},
           json_agg(json_build_object(
               'ticketTypeId', i.ticket_type_id, 'ticketTypeName', t.name,
               'quantity', i.quantity, 'unitPrice', i.unit_price, 'subtotal', i.subtotal))
    FROM reservations r
    JOIN reservation_items i ON i.reservation_id = r.id
    LEFT JOIN events e ON e.id = r.event_id
    LEFT JOIN ticket_types t ON t.id = i.ticket_type_id
    WHERE r.id = %(reservation_id)s
    GROUP BY r.id, e.title
"""

FIRST_HOLD = SqlScript(first_ticket_hold=_FIRST_HOLD)


class _Decision(NamedTuple):
    """The row that hold_tickets.sql returns."""

    verdict: HoldVerdict
    sold_out: list[str] | None
    event_title: str
    total_amount: int
    expires_at: str
    items: list[dict[str, Any]]


class _TicketHold(NamedTuple):
    """A reservation of tickets, with the columns of FIRST_HOLD."""

    event_id: str
    number: str
    event_title: str | None
    total_amount: int
    status: str
    payment_status: str
    expires_at: str
    items: list[dict[str, Any]]

    def shown(self, reservation_id: str) -> dict[str, Any]:
        """Return the reservation in the shape of the API."""
        return {
            "id": reservation_id,
            "reservationNumber": self.number,
            "eventTitle": self.event_title,
            "totalAmount": self.total_amount,
            "status": self.status,
            "paymentStatus": self.payment_status,
            "expiresAt": self.expires_at,
            "items": self.items,
        }


class TicketHolds:
    """Holds tickets for a buyer."""

    def __init__(
        self,
        postgres: Postgres,
        gate: Gate,
        after_write: AfterWrite,
        rules: HoldRules,
    ) -> None:
        self._postgres = postgres
        self._gate = gate
        self._after_write = after_write
        self._rules = rules

    def reserve(
        self,
        buyer_id: str,
        event_id: str,
        items: Iterable[tuple[str, int]],
        idempotency_key: str | None,
    ) -> dict[str, Any]:
        """Hold all of `items`, pairs of ticket type id and quantity, or none of them.

        Lines of the same ticket type are merged. Returns the reservation in the shape of the API.
        Raises InvalidInput, QueueRequired, TicketsSoldOut, TicketTypeNotFound, EventNotFound,
        SaleNotOpen, LimitExceeded, AmountTooLarge, UserNotFound, IdempotencyKeyReused,
        ServiceUnavailable.
        """
        quantities = self._merge(items)
        request = HoldRequest.new(buyer_id, event_id, idempotency_key)
        return hold_once(
            request,
            hold=partial(self._reserve, request, quantities),
            first=partial(self._first, request, quantities),
        )

    def _merge(self, items: Iterable[tuple[str, int]]) -> Counter[str]:
        quantities: Counter[str] = Counter()
        limit = self._rules.max_tickets
        details = {"items": [f"Choose 1 to {limit} tickets of a type."]}
        for ticket_type_id, quantity in items:
            if quantity < 1:
                raise InvalidInput(details, "NO_TICKETS", limit=limit)
            quantities[ticket_type_id] += quantity
        if not quantities:
            details = {"items": ["Choose at least one ticket type."]}
            raise InvalidInput(details, "NO_TICKETS", limit=limit)
        if max(quantities.values()) > limit:
            raise InvalidInput(details, "TOO_MANY_TICKETS", limit=limit)
        return quantities

    def _reserve(self, request: HoldRequest, quantities: Counter[str]) -> dict[str, Any] | None:
        """Pass the gate, make the hold and announce it. Return None for a repeat."""
        event_id = request.event_id
        self._gate.pass_gate(request.buyer_id, event_id, [], request.reservation_id)
        since = time.monotonic()
        with self._after_write.changing(event_id):
            reservation = self._hold(request, quantities)
        if reservation is not None:
            self._after_write.tell(event_id, Change(stock=True), since=since)
        return reservation

    def _hold(self, request: HoldRequest, quantities: Counter[str]) -> dict[str, Any] | None:
        """Return the new reservation, or None for a repeat."""
        parameters = request.parameters(self._rules) | {
            "ticket_type_ids": list(quantities.keys()),
            "quantities": list(quantities.values()),
        }
        decision = _Decision(
            *run_hold(
                self._postgres,
                HOLD_TICKETS,
                request,
                parameters,
                waits_for=tuple(sorted(quantities)),
            )
        )
        if decision.verdict == HoldVerdict.REPEATED:
            return None
        if decision.verdict == HoldVerdict.TICKET_TYPE_NOT_FOUND:
            raise TicketTypeNotFound
        if decision.verdict == HoldVerdict.TICKETS_SOLD_OUT:
            sold_out = decision.sold_out or []
            raise TicketsSoldOut({"ticketTypes": sold_out}, names=", ".join(sold_out))
        if decision.verdict != HoldVerdict.ACCEPTED:
            raise refusal(decision.verdict, self._rules)
        return _TicketHold(
            event_id=request.event_id,
            number=parameters["reservation_number"],
            event_title=decision.event_title,
            total_amount=decision.total_amount,
            status="pending",
            payment_status="pending",
            expires_at=decision.expires_at,
            items=decision.items,
        ).shown(request.reservation_id)

    def _first(self, request: HoldRequest, quantities: Counter[str]) -> dict[str, Any] | None:
        """Return what the first request with this Idempotency-Key made, or None."""
        rows = self._postgres.transaction(FIRST_HOLD, {"reservation_id": request.reservation_id})
        if not rows:
            return None
        first = _TicketHold(*rows[0])
        items = {item["ticketTypeId"]: item["quantity"] for item in first.items}
        check_same((request.event_id, quantities), (first.event_id, items))
        return first.shown(request.reservation_id)
