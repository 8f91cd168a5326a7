"""The service with one guard taken out, for the negative controls of the race tests.

`UNGUARDED` names the guard. Run as `gunicorn -c gunicorn.conf.py tests.support.unguarded:app`.
"""

import os

from ticket_service.app import create_app
from ticket_service.config import Settings
from ticket_service.services import expiry, payments, reservations, seats, tickets
from ticket_service.stores.postgres import Script
from ticket_service.stores.waiting_lines import WaitingLines


def without(script: Script, *titles: str) -> Script:
    """The script less the statements of these titles."""
    calls = script.call.split("; ")
    left = Script()
    left.preparations = script.preparations
    left.call = "; ".join(
        call for call in calls if not call.removeprefix("EXECUTE ").startswith(titles)
    )
    assert left.call.count("EXECUTE") == len(calls) - len(titles)
    return left


match os.environ["UNGUARDED"]:
    case "seat rows":
        seats.HOLD_SEATS = without(seats.HOLD_SEATS, "lock_seats")
        take_locks = WaitingLines.pass_gate
        WaitingLines.pass_gate = (  # type: ignore[method-assign]
            lambda self, event_id, user_id, seat_ids, owner: take_locks(
                self, event_id, user_id, [], owner
            )
        )
    case "stock rows":
        tickets.HOLD_TICKETS = without(tickets.HOLD_TICKETS, "lock_ticket_types")
    case "buyer":
        seats.HOLD_SEATS = without(seats.HOLD_SEATS, "lock_buyer")
    case "reservation row":
        reservations.CANCEL = without(
            reservations.CANCEL, "lock_reservation", "lock_its_seats", "lock_its_ticket_types"
        )
    case "due holds":
        expiry.END_HOLDS = Script(end_holds=expiry._END.replace("FOR UPDATE SKIP LOCKED", ""))
    case "paid reservation":
        payments.RECORD_PAYMENT = without(payments.RECORD_PAYMENT, "lock_paid_reservation")
    case guard:
        raise ValueError(guard)

app = create_app(Settings.from_environment())
