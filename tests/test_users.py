"""Whose a reservation is, and users whom the database does not know."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support import factories
from tests.support.buyers import token_for
from tests.support.databases import new_database
from tests.support.factories import MakeEvent, insert, section, ticket
from tests.support.service import Service, run_service
from tests.support.tokens import UUID
from tests.support.wire import check_error
from ticket_service.stores import schema


def test_another_persons_reservation_is_not_found(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()])
    owner = token_for()
    order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    made = service.post("/seats/reserve", token=owner, json=order).json()
    reservation_id = made["reservation"]["id"]
    for stranger in (token_for(), token_for(role="admin")):
        for path in (f"/reservations/{reservation_id}", f"/seats/reservation/{reservation_id}"):
            check_error(service.get(path, token=stranger), 404, "RESERVATION_NOT_FOUND")
        cancelled = service.post(f"/reservations/{reservation_id}/cancel", token=stranger)
        check_error(cancelled, 404, "RESERVATION_NOT_FOUND")
        assert service.get("/reservations/my", token=stranger).json() == {"reservations": []}
    seen = service.get(f"/reservations/{reservation_id}", token=owner).json()["reservation"]
    assert (seen["id"], seen["status"]) == (reservation_id, "pending")


def test_a_user_id_is_the_same_in_upper_case(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()])
    user_id = str(uuid4())
    order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    upper = token_for(user_id.upper())
    made = service.post("/seats/reserve", token=upper, json=order).json()["reservation"]
    assert service.get(f"/reservations/{made['id']}", token=token_for(user_id)).status == 200


@pytest.fixture(scope="module")
def users(servers: Servers, folder: Path) -> Iterator[tuple[Service, Connection]]:
    """An instance on a database of its own, where a reservation's user must be in `users`."""
    with new_database(servers.database_url) as url:
        schema.migrate(url, "public")
        with closing(psycopg2.connect(url)) as database, database.cursor() as cursor:
            database.autocommit = True
            cursor.execute(
                "CREATE TABLE users (id uuid PRIMARY KEY);"
                "ALTER TABLE reservations ADD FOREIGN KEY (user_id) REFERENCES users (id)"
            )
            with run_service(folder, DATABASE_URL=url) as service:
                yield service, database
                service.kill()


def test_a_user_whom_the_database_does_not_know_books_nothing(
    users: tuple[Service, Connection],
):
    service, database = users
    event = factories.make_event(database, sections=[section()], tickets=[ticket()])
    seats = {"eventId": event.id, "seatIds": event.seat_ids[:2]}
    lines = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 2}]
    bookings = [("/seats/reserve", seats), ("/reservations", {"eventId": event.id, "items": lines})]
    for path, order in bookings:
        unknown = service.post(path, token=token_for(), json=order)
        check_error(unknown, 401, "USER_NOT_FOUND")
    with database.cursor() as cursor:
        for changed in (
            "SELECT id FROM reservations WHERE event_id = %s",
            "SELECT id FROM seats WHERE event_id = %s AND status <> 'available'",
            "SELECT id FROM ticket_types WHERE event_id = %s AND available_quantity <> 100",
        ):
            cursor.execute(changed, (event.id,))
            assert cursor.fetchall() == []
    known = insert(database, "users", id=str(uuid4()))
    for path, order in bookings:
        assert service.post(path, token=token_for(known), json=order).status == 201


def test_a_user_who_was_deleted_meanwhile_can_buy_nothing_more(
    users: tuple[Service, Connection],
):
    """The token is good until it ends: docs/operations.md, "Tokens"."""
    service, database = users
    event = factories.make_event(database, sections=[section()], tickets=[ticket()])
    user_id = insert(database, "users", id=str(uuid4()))
    token = token_for(user_id)
    orders = [{"eventId": event.id, "seatIds": [seat]} for seat in event.seat_ids[:2]]
    held = service.post("/seats/reserve", token=token, json=orders[0]).json()["reservation"]["id"]
    assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM reservations WHERE id = %s", (held,))
        cursor.execute("DELETE FROM users WHERE id = %s", (user_id,))
    for _ in range(2):  # the second time, the token is in the cache for certain
        answer = service.post("/seats/reserve", token=token, json=orders[1])
        check_error(answer, 401, "USER_NOT_FOUND")
    assert service.get("/reservations/my", token=token).json() == {"reservations": []}
    check_error(service.get(f"/reservations/{held}", token=token), 404, "RESERVATION_NOT_FOUND")
    assert service.post(f"/queue/check/{event.id}", token=token).json()["status"] == "active"
    assert service.post(f"/queue/leave/{event.id}", token=token).status == 200


def test_an_unknown_event_is_not_mistaken_for_an_unknown_user(
    users: tuple[Service, Connection],
):
    service, _ = users
    order = {"eventId": UUID, "seatIds": [UUID]}
    answer = service.post("/seats/reserve", token=token_for(), json=order)
    check_error(answer, 404, "EVENT_NOT_FOUND")
