"""A buyer's reservations: looking at them and cancelling them."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple

from ticket_service import metrics
from ticket_service.errors import (
    AlreadyCancelled,
    CancellationClosed,
    ReservationExpired,
    ReservationNotFound,
)
from ticket_service.services.after_write import AfterWrite, Change
from ticket_service.services.event_of import event_of
from ticket_service.services.sql import expired, iso, payment_status, status
from ticket_service.stores.postgres import Postgres, SqlScript

_SUMMARY = f"""
    r.id, r.reservation_number, r.total_amount, {status("r")} AS status,
    {payment_status("r")} AS payment_status
"""

_ITEM_SOURCES = """
    FROM reservation_items i
    LEFT JOIN ticket_types t ON t.id = i.ticket_type_id
    LEFT JOIN seats s ON s.id = i.seat_id
    WHERE i.reservation_id = r.id
"""

_MINE = SqlScript(
    my_reservations=f"""
    SELECT json_build_object('reservations', coalesce(json_agg(row_to_json(mine)), '[]'))::text
    FROM (
        SELECT {_SUMMARY}, {iso("r.created_at")} AS created_at, {iso("r.expires_at")} AS expires_at,
               e.title AS event_title, e.venue, {iso("e.event_date")} AS event_date,
               (SELECT coalesce(json_agg(json_build_object(
                    'ticketTypeName', coalesce(t.name, s.seat_label), 'quantity', i.quantity,
                    'unitPrice', i.unit_price, 'subtotal', i.subtotal, 'seatLabel', s.seat_label
                ) ORDER BY s.seat_label, t.name, i.id), '[]') {_ITEM_SOURCES}) AS items
        FROM reservations r LEFT JOIN events e ON e.id = r.event_id
        WHERE r.user_id = %(buyer_id)s
        ORDER BY r.created_at DESC, r.id
        LIMIT %(limit)s::bigint OFFSET (%(page)s::bigint - 1) * %(limit)s
    ) mine
"""
)


def _one(title: str, places: str, lines: str) -> SqlScript:
    """Return the query for one reservation, with these columns of its event and its lines."""
    text = f"""
    SELECT json_build_object('reservation', row_to_json(one))::text
    FROM (
        SELECT {_SUMMARY}, r.payment_method, {iso("r.expires_at")} AS expires_at,
               {iso("r.created_at")} AS created_at, r.event_id, e.title AS event_title,
               {places}, {iso("e.event_date")} AS event_date,
               {lines},
               {expired("r")} AS "isExpired"
        FROM reservations r LEFT JOIN events e ON e.id = r.event_id
        WHERE r.id = %(reservation_id)s AND r.user_id = %(buyer_id)s
    ) one
    """
    return SqlScript(**{title: text})


_WITH_ITEMS = _one(
    "reservation_with_items",
    "e.venue, e.address",
    f"""(SELECT coalesce(json_agg(json_build_object(
            'ticketTypeName', coalesce(t.name, s.seat_label), 'quantity', i.quantity,
            'unitPrice', i.unit_price, 'subtotal', i.subtotal, 'seatId', i.seat_id,
            'seatLabel', s.seat_label,
            'section', s.section, 'rowNumber', s.row_number, 'seatNumber', s.seat_number
        ) ORDER BY s.section, s.row_number, s.seat_number, t.name, i.id), '[]')
        {_ITEM_SOURCES}) AS items""",
)

_WITH_SEATS = _one(
    "reservation_with_seats",
    "e.venue",
    f"""(SELECT coalesce(json_agg(json_build_object(
            'seatId', i.seat_id, 'seatLabel', s.seat_label, 'section', s.section,
            'rowNumber', s.row_number, 'seatNumber', s.seat_number, 'price', i.unit_price,
            'ticketTypeName', t.name, 'quantity', i.quantity
        ) ORDER BY s.section, s.row_number, s.seat_number, t.name, i.id), '[]')
        {_ITEM_SOURCES}) AS seats""",
)

CANCEL = SqlScript.from_file("cancel")


class CancelVerdict(StrEnum):
    """The verdicts of cancel.sql, which explains them."""

    ACCEPTED = "ACCEPTED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    CANCELLATION_CLOSED = "CANCELLATION_CLOSED"


_REFUSALS = {
    CancelVerdict.ALREADY_CANCELLED: AlreadyCancelled,
    CancelVerdict.RESERVATION_EXPIRED: ReservationExpired,
    CancelVerdict.CANCELLATION_CLOSED: CancellationClosed,
}


class _Cancellation(NamedTuple):
    """The row that cancel.sql returns."""

    verdict: CancelVerdict
    seat_ids: list[str]
    has_tickets: bool
    refund_due: bool
    leaving: bool


class Reservations:
    """Reads and cancels reservations.

    Reads return JSON as bytes, in the shape of the API. All methods raise ServiceUnavailable.
    """

    def __init__(self, postgres: Postgres, reads: Postgres, after_write: AfterWrite) -> None:
        self._postgres = postgres
        self._reads = reads
        self._after_write = after_write

    def mine(self, buyer_id: str, page: int, limit: int) -> bytes:
        """Return the buyer's reservations, newest first."""
        return self._json(_MINE, buyer_id, page=page, limit=limit)

    def with_items(self, buyer_id: str, reservation_id: str) -> bytes:
        """Return a reservation of the buyer with its lines. Raises ReservationNotFound."""
        return self._json(_WITH_ITEMS, buyer_id, reservation_id=reservation_id)

    def with_seats(self, buyer_id: str, reservation_id: str) -> bytes:
        """Return a reservation of the buyer with its seats. Raises ReservationNotFound."""
        return self._json(_WITH_SEATS, buyer_id, reservation_id=reservation_id)

    def cancel(self, buyer_id: str, reservation_id: str) -> bool:
        """Cancel the reservation and give back its seats and tickets, exactly once.

        Returns whether its payment must be refunded. Raises ReservationNotFound, AlreadyCancelled,
        ReservationExpired, CancellationClosed.
        """
        event_id = event_of(self._postgres, reservation_id)
        since = time.monotonic()
        with self._after_write.changing(event_id):
            done = self._cancel(buyer_id, reservation_id, event_id)
        if done.refund_due:
            metrics.REFUNDS_DUE.inc()
        leaving = [buyer_id] if done.leaving else []
        change = Change(done.seat_ids, "available", done.has_tickets, leaving)
        self._after_write.tell(event_id, change, since=since)
        return done.refund_due

    def _cancel(self, buyer_id: str, reservation_id: str, event_id: str | None) -> _Cancellation:
        """Run the script. Raises what `cancel` raises."""
        rows = self._postgres.transaction(
            CANCEL,
            {"buyer_id": buyer_id, "reservation_id": reservation_id},
            group=event_id,
        )
        if not rows:
            raise ReservationNotFound
        verdict, *others = rows[0]
        done = _Cancellation(CancelVerdict(verdict), *others)
        if done.verdict != CancelVerdict.ACCEPTED:
            raise _REFUSALS[done.verdict]
        return done

    def _json(self, query: SqlScript, buyer_id: str, **parameters: str | int) -> bytes:
        rows = self._reads.transaction(query, {"buyer_id": buyer_id, **parameters}, group=buyer_id)
        if not rows:
            raise ReservationNotFound
        text: str = rows[0][0]
        return text.encode()
