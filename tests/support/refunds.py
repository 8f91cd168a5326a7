"""Holds that are paid and cancelled, and the refunds that are due for them."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.internal import tell_payment
from tests.support.service import Response, Service

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


class Reservation:
    """A buyer's hold of two seats, and what they do with it."""

    def __init__(self, service: Service, event: Event, first_seat: int = 0) -> None:
        self._service = service
        self._token = token_for()
        seat_ids = event.seat_ids[first_seat : first_seat + 2]
        order = {"eventId": event.id, "seatIds": seat_ids}
        answer = service.post("/seats/reserve", token=self._token, json=order)
        assert answer.status == 201, answer.body
        self.id: str = answer.json()["reservation"]["id"]

    def tell(self, status: str, payment: str = "one") -> Response:
        """Report a payment for it, as the Payment Service does."""
        return tell_payment(self._service, self.id, status, payment_id=f"{payment}-{self.id}")

    def cancel(self, language: str = "ko") -> Response:
        headers = {"Accept-Language": language}
        path = f"/reservations/{self.id}/cancel"
        return self._service.post(path, token=self._token, headers=headers)

    def shown(self) -> tuple[str, str]:
        """Return its status and that of its payment, as the buyer sees them."""
        answer = self._service.get(f"/reservations/{self.id}", token=self._token)
        reservation = answer.json()["reservation"]
        return reservation["status"], reservation["payment_status"]


def due(database: Connection, reservation: Reservation) -> list[str]:
    """Return the payments of this reservation that must be refunded, by the operators' query."""
    [query] = [
        block
        for block in re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
        if "REFUND_DUE" in block
    ]
    with database.cursor() as cursor:
        cursor.execute(query)
        return [
            payment_id.removesuffix(f"-{reservation.id}")
            for payment_id, reservation_id, amount, _ in cursor.fetchall()
            if reservation_id == reservation.id and amount == 100_000
        ]


def check_told(answer: Response, reservation: Reservation, status: str, payment: str) -> None:
    assert answer.status == 200, answer.body
    expected = {"id": reservation.id, "status": status, "paymentStatus": payment}
    assert answer.json()["reservation"] == expected


def write_refunded(database: Connection, reservation: Reservation) -> None:
    """Record a refund in the table, as the Payment Service does."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE reservations SET payment_status = 'refunded' WHERE id = %s", (reservation.id,)
        )


def move_event(database: Connection, event: Event, date: Any) -> None:
    with database.cursor() as cursor:
        cursor.execute("UPDATE events SET event_date = %s WHERE id = %s", (date, event.id))


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
