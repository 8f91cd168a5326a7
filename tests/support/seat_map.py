"""Reading the seat map and the stock, and the writes that change them."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support.databases import connected, migrated_database
from tests.support.factories import Event
from tests.support.service import Response, Service


@contextmanager
def own_database(servers: Servers) -> Iterator[tuple[str, Connection]]:
    """Create a database for one test. Yields its URL, and a connection to it."""
    with migrated_database(servers.database_url) as url, connected(url) as database:
        yield url, database


def seat_map(service: Service, event: Event, **headers: str) -> Response:
    return service.get(f"/seats/events/{event.id}", headers=headers)


def statuses(service: Service, event: Event) -> list[str]:
    return [seat["status"] for seat in seat_map(service, event).json()["seats"]]


def reserve(service: Service, event: Event, seat_id: str, token: str) -> str:
    """Hold one seat, and return the id of the reservation."""
    order = {"eventId": event.id, "seatIds": [seat_id]}
    answer = service.post("/seats/reserve", token=token, json=order)
    assert answer.status == 201, answer.body
    return str(answer.json()["reservation"]["id"])


def hold_tickets(service: Service, event: Event, quantity: int, token: str) -> str:
    """Hold tickets of the event's first type, and return the id of the reservation."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    answer = service.post("/reservations", token=token, json={"eventId": event.id, "items": items})
    assert answer.status == 201, answer.body
    return str(answer.json()["reservation"]["id"])


def cancel(service: Service, reservation_id: str, token: str) -> None:
    assert service.post(f"/reservations/{reservation_id}/cancel", token=token).status == 200


def execute(database: Connection, statement: str, *parameters: object) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)
