"""Whoever was told that something is theirs has it, or was told why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import Any

from chaos.checks.run import Holding, Run, Violation

RULE = "kept"

OVER = ("RESERVATION_EXPIRED", "ALREADY_CANCELLED", "RESERVATION_NOT_FOUND")


def check(run: Run) -> Iterator[Violation]:
    """Each reservation that was told with 201 is in the tables, with its owner and all that it has.

    It is cancelled only if somebody cancelled it, or reported a failed payment; expired only at the
    told end of the hold or later; confirmed only if a payment was reported. It is confirmed if a
    payment was told as accepted and nothing can have ended it since, and cancelled if a
    cancellation was told and no payment can have come since. Each payment that was told is
    recorded; if it must be refunded, the tables say so.

    While it is certainly theirs, nobody is told that it is over or does not exist.
    """
    for holding in run.holdings.values():
        row = run.rows.get(holding.id)
        if row is None:
            yield Violation(RULE, f"{holding.id} was told with 201, and is not in the tables")
        else:
            for fault in (*_has_all(holding, row, run.items[holding.id]), *_status(holding, row)):
                yield Violation(RULE, f"{holding.id} {fault}")
    yield from _payments(run)
    yield from _refusals(run)


def _has_all(holding: Holding, row: dict[str, Any], items: list[dict[str, Any]]) -> Iterator[str]:
    told: Counter[str] = Counter(holding.seats)
    told.update(holding.tickets)
    had: Counter[str] = Counter()
    for item in items:
        had[item["seat"] or item["ticket_type"]] += item["quantity"]
    if row["person"] != holding.person:
        yield f"was told to {holding.person}, and is of {row['person']}"
    if had != told:
        yield f"was told with {dict(told)}, and has {dict(had)}"


def _status(holding: Holding, row: dict[str, Any]) -> Iterator[str]:
    """Whether the status has a reason, and fits what was told last."""
    match row["status"]:
        case "cancelled" if not holding.ends:
            yield "is cancelled, and nobody asked for it"
        case "confirmed" if not holding.payments:
            yield "is confirmed, and nobody paid"
        case "expired" if row["updated_at"] < holding.expires_at:
            yield f"expired {holding.expires_at - row['updated_at']:.3f} s too early"
    last = holding.spans[-1].end if holding.spans else 0
    if last == inf and row["status"] != "confirmed":
        yield f"was told as paid, and is {row['status']}"


def _payments(run: Run) -> Iterator[Violation]:
    """What was told of payments and cancellations is in the tables."""
    noted = {(row["payment"], row["status"]): row["verdict"] for row in run.tables.payments}
    for record in run.history.of("pay"):
        payment, status = record.ask["payment"], record.ask["status"]
        told = record.answer if record.status in (200, 409) else {}
        verdict = noted.get((payment, status))
        if record.status == 200 and verdict is None:
            yield Violation(RULE, f"payment {payment} was told as {status}, and is not recorded")
        if "refund" in told.get("details", {}) and verdict not in ("REFUND_DUE", "REFUNDED"):
            yield Violation(RULE, f"payment {payment} must be refunded, and nobody will know")
    for record in run.history.of("cancel"):
        holding = run.holdings.get(record.ask["reservation"])
        row = run.rows.get(record.ask["reservation"])
        if record.status != 200 or holding is None or row is None:
            continue
        paid = any(window.meets(record.asked_at, inf) for window in holding.payments)
        if row["status"] != "cancelled" and not paid:
            yield Violation(RULE, f"{holding.id} was told as cancelled, and is {row['status']}")


def _refusals(run: Run) -> Iterator[Violation]:
    """Nobody is told that what is theirs is over."""
    for record in run.history.of("cancel", "pay", "read"):
        holding = run.holdings.get(record.ask["reservation"])
        if holding is None or not holding.certainly(record):
            continue
        if record.action == "pay" and holding.payments:
            continue  # a second payment must be refunded
        told = record.answer if isinstance(record.answer, dict) else {}
        if told.get("code") in OVER:
            yield Violation(RULE, f"{record.action} of {holding.id} was told {told['code']}")
        if record.action == "read" and record.status == 200:
            status = told["reservation"]["status"]
            if status not in ("pending", "confirmed"):
                yield Violation(RULE, f"{holding.id} was shown as {status} to its owner")
