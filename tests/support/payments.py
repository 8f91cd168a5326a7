"""Holds that are paid for, and their rows."""

from psycopg2.extensions import connection as Connection

from tests.support.buyers import token_for
from tests.support.factories import Event, one
from tests.support.others import end
from tests.support.service import Response, Service
from tests.support.wire import check_error, check_soon

AT_ONCE = 1.0
"""Seconds within which browsers must hear of a change by the service."""


def buy_seats(service: Service, event: Event, *seats: int, token: str | None = None) -> str:
    """Hold these seats, and return the reservation's id."""
    order = {"eventId": event.id, "seatIds": [event.seat_ids[seat] for seat in seats]}
    answer = service.post("/seats/reserve", token=token or token_for(), json=order)
    assert answer.status == 201, answer.body
    reservation_id: str = answer.json()["reservation"]["id"]
    return reservation_id


def buy_tickets(service: Service, event: Event, quantity: int = 2) -> str:
    """Hold so many tickets, and return the reservation's id."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    order = {"eventId": event.id, "items": items}
    answer = service.post("/reservations", token=token_for(), json=order)
    assert answer.status == 201, answer.body
    reservation_id: str = answer.json()["reservation"]["id"]
    return reservation_id


def state(database: Connection, reservation_id: str) -> tuple[str, str]:
    """Return the status of the reservation and of its payment."""
    columns = "status || ' ' || payment_status"
    query = f"SELECT {columns} FROM reservations WHERE id = '{reservation_id}'"
    status, payment_status = one(database, query).split()
    return status, payment_status


def seat_status(database: Connection, event: Event, seat: int = 0) -> str:
    """Return the status of a seat of the event, by its number."""
    return str(one(database, f"SELECT status FROM seats WHERE id = '{event.seat_ids[seat]}'"))


def stock(database: Connection, event: Event) -> int:
    """Return how many tickets of the event's first type are left."""
    id_ = event.ticket_type_ids[0]
    return int(one(database, f"SELECT available_quantity FROM ticket_types WHERE id = '{id_}'"))


def verdicts(database: Connection, reservation_id: str) -> list[str]:
    """Return the verdicts on the payments of a reservation, oldest first."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT verdict FROM ticket_service_payments WHERE reservation_id = %s"
            " ORDER BY created_at",
            (reservation_id,),
        )
        return [verdict for (verdict,) in cursor.fetchall()]


def run_out(database: Connection, reservation_id: str) -> None:
    """Let the hold end, and wait until the service has released it."""
    end(database, reservation_id)
    check_soon(lambda: state(database, reservation_id)[0], "expired", seconds=5)


def check_refund(answer: Response, reservation_id: str, payment_id: str, amount: int) -> None:
    """Fail unless the answer says that this amount must be refunded."""
    error = check_error(answer, 409, "RESERVATION_EXPIRED")
    assert error["details"] == {
        "refund": {"reservationId": reservation_id, "paymentId": payment_id, "amount": amount}
    }
