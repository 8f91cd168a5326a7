"""The service with something broken, so that a check of the history goes red.

`VARIANT` names what is broken. Run as `gunicorn -c gunicorn.conf.py chaos.variants:app`.
"""

from __future__ import annotations

import os
import random
from typing import Any

from tests.support.broken import changed_script, lock_no_seats_in_redis
from ticket_service.app import create_app
from ticket_service.config import Settings
from ticket_service.errors import SaleNotOpen
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.events import RoomEvent, seat_changed
from ticket_service.services import reservations, seat_holds
from ticket_service.services.holds import HoldRequest
from ticket_service.services.seat_holds import SeatHolds
from ticket_service.stores import waiting_lines
from ticket_service.stores.postgres import SqlScript
from ticket_service.stores.sql_files import read_statements

PART = 0.2
"""How often something goes wrong that does not always."""

SLOW = 0.3
"""Seconds between a look and a write, so that two people meet in between."""

CLOCK = "WITH clock AS (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now"

LOSE = SqlScript(
    seats_back="""
    UPDATE seats SET status = 'available' WHERE id IN (
        SELECT seat_id FROM reservation_items WHERE reservation_id = %(reservation_id)s::uuid)
    """,
    lose="DELETE FROM reservations WHERE id = %(reservation_id)s::uuid RETURNING id",
)


def without_seat_locks() -> SqlScript:
    """The script that holds seats, which locks none, and takes its time."""
    statements = read_statements("hold_seats")
    del statements["lock_seats"]
    assert statements["hold_seats"].count(CLOCK) == 1
    statements["hold_seats"] = statements["hold_seats"].replace(
        CLOCK, f"{CLOCK} FROM pg_sleep({SLOW})"
    )
    return SqlScript(**statements)


def lose_some(holds: SeatHolds, request: HoldRequest, seat_ids: list[str]) -> Any:
    """Hold, but lose some of what was committed, as a failover to a late standby does."""
    reservation = hold(holds, request, seat_ids)
    if reservation and random.random() < PART:
        holds._postgres.transaction(LOSE, {"reservation_id": request.reservation_id})
    return reservation


def admit_by(old: str, new: str) -> None:
    """Admit people by a script with one piece of it replaced."""
    script, usual = changed_script("queue_admit", old, new), waiting_lines._script
    waiting_lines._script = lambda name: script if name == "queue_admit" else usual(name)


def drop_some(announcer: Announcer, event: RoomEvent, **more: Any) -> None:
    """Tell browsers, but not everything about seats."""
    if not event.name.startswith("seat-") or random.random() > PART:
        emit(announcer, event, **more)


def free_first(announcer: Announcer, event: RoomEvent, **more: Any) -> None:
    """Tell browsers that a paid seat is free, before they are told that it is paid."""
    if event.payload.get("status") == "reserved":
        seat = event.payload["eventId"], event.payload["seatId"]
        emit(announcer, seat_changed(*seat, "available"), **more)
    emit(announcer, event, **more)


def refuse(*request: Any) -> HoldRequest:
    """Sell nothing."""
    raise SaleNotOpen


match os.environ["VARIANT"]:
    case "nothing is sold":
        HoldRequest.new = refuse  # type: ignore[method-assign, assignment]
    case "seats are not locked":
        seat_holds.HOLD_SEATS = without_seat_locks()
        lock_no_seats_in_redis()
    case "a commit is lost":
        hold = SeatHolds._hold
        SeatHolds._hold = lose_some  # type: ignore[method-assign, assignment]
    case "keys are ignored":
        new_request = HoldRequest.new
        HoldRequest.new = lambda buyer_id, event_id, key: (  # type: ignore[method-assign, assignment]
            new_request(buyer_id, event_id, None)
        )
    case "tickets come back twice":
        statements = read_statements("cancel")
        assert statements["cancel"].count("+ returned.quantity") == 1
        statements["cancel"] = statements["cancel"].replace(
            "+ returned.quantity", "+ 2 * returned.quantity"
        )
        reservations.CANCEL = SqlScript(**statements)
    case "a place is given twice":
        admit_by("math.min(threshold - inside,", "math.min(threshold + 1 - inside,")
    case "the last come first":
        admit_by("ZPOPMIN", "ZPOPMAX")
    case "messages are dropped":
        emit = Announcer.emit_locally
        Announcer.emit_locally = drop_some  # type: ignore[method-assign, assignment]
    case "paid seats are told as free":
        emit = Announcer.emit_locally
        Announcer.emit_locally = free_first  # type: ignore[method-assign, assignment]
    case other:
        raise ValueError(other)

app = create_app(Settings.from_environment())
