"""The service without one of its guards, for the negative controls of the race tests.

`UNGUARDED` names the guard. Run as `gunicorn -c gunicorn.conf.py tests.support.unguarded:app`.
"""

import os
import secrets
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import Request

from tests.support.broken import changed_script, lock_no_seats_in_redis
from ticket_service.app import create_app
from ticket_service.config import Settings
from ticket_service.realtime.budgets import NewcomerLimit
from ticket_service.server.connections import _Request
from ticket_service.services import expiry, payments, reservations, seat_holds, ticket_holds
from ticket_service.stores import keys
from ticket_service.stores.guards import Guards
from ticket_service.stores.postgres import SqlScript
from ticket_service.stores.sessions import Sessions
from ticket_service.stores.slots import Slots
from ticket_service.stores.sql_files import read_statements
from ticket_service.stores.stuck_rows import StuckRows
from ticket_service.stores.waiting_lines import Place, WaitingLines


def without(script: SqlScript, *titles: str) -> SqlScript:
    """Return the script without the statements that have these titles."""
    calls = script.call.split("; ")
    left = SqlScript()
    left.preparations = script.preparations
    left.call = "; ".join(
        call for call in calls if not call.removeprefix("EXECUTE ").startswith(titles)
    )
    assert left.call.count("EXECUTE") == len(calls) - len(titles)
    return left


def enter_in_two_calls(lines: WaitingLines, event_id: str, user_id: str) -> Place:
    """Check whether there is room, and then let the user in."""
    seen = lines.control(event_id)
    if seen.inside >= seen.threshold:
        return enter(lines, event_id, user_id)
    return Place(*lines._run(OPEN_DOOR, event_id, user_id))


set_body_reader = Request.set_body_reader


def without_body_of_get(request: Any) -> None:
    """Do as if a GET could have no body."""
    set_body_reader(request)
    if request.method == "GET":
        request.body = Body(LengthReader(request.unreader, 0))


match os.environ["UNGUARDED"]:
    case "seat rows":
        seat_holds.HOLD_SEATS = without(seat_holds.HOLD_SEATS, "lock_seats")
        lock_no_seats_in_redis()
    case "stock rows":
        ticket_holds.HOLD_TICKETS = without(ticket_holds.HOLD_TICKETS, "lock_ticket_types")
    case "buyer":
        seat_holds.HOLD_SEATS = without(seat_holds.HOLD_SEATS, "lock_buyer")
    case "reservation row":
        reservations.CANCEL = without(
            reservations.CANCEL, "lock_reservation", "lock_its_seats", "lock_its_ticket_types"
        )
    case "threshold":
        look = "redis.call('ZCARD', WAITING) > 0"
        enough = "redis.call('ZCARD', INSIDE) >= threshold"
        OPEN_DOOR = changed_script("queue_enter", f"{look} or {enough}", look)
        enter = WaitingLines.enter
        WaitingLines.enter = enter_in_two_calls  # type: ignore[method-assign, assignment]
    case "buyer who cancels":
        statements = read_statements("cancel")
        assert statements["lock_reservation"].count("pg_advisory_xact_lock(") == 1
        statements["lock_reservation"] = statements["lock_reservation"].replace(
            "pg_advisory_xact_lock(", "abs("
        )
        reservations.CANCEL = SqlScript(**statements)
    case "due holds":
        [statement] = read_statements("expire").values()
        assert statement.count("FOR UPDATE SKIP LOCKED") == 3
        expiry.EXPIRE = SqlScript(expire=statement.replace("FOR UPDATE SKIP LOCKED", ""))
    case "paid reservation":
        payments.RECORD_PAYMENT = without(payments.RECORD_PAYMENT, "lock_paid_reservation")
    case "refunded reservation":
        payments.RECORD_REFUND = without(payments.RECORD_REFUND, "lock_paid_reservation")
    case "messages of a person":
        update = Sessions.update
        Sessions.update = lambda self, user_id, *, message=False, **change: (  # type: ignore[method-assign]
            update(self, user_id, **change)
        )
    case "memory of guards":
        Guards.guarded = lambda self, event_id: False  # type: ignore[method-assign]
    case "newcomers":
        NewcomerLimit.acquire = lambda self: True  # type: ignore[method-assign]
    case "rate limits of all instances":
        keys.RATE_LIMITS += secrets.token_hex(8)
    case "connections":
        take, give_back = Slots.take, Slots.give_back
        Slots.take = lambda self, group, timeout: take(self, None, timeout)  # type: ignore[method-assign]
        Slots.give_back = lambda self, group: give_back(self, None)  # type: ignore[method-assign]
        StuckRows.refuses = lambda self, rows: False  # type: ignore[method-assign]
    case "bodies of a GET":
        _Request.set_body_reader = without_body_of_get  # type: ignore[method-assign, assignment]
    case guard:
        raise ValueError(guard)

app = create_app(Settings.from_environment())
