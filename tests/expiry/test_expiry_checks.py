"""Holds that run out where another program's CHECK is in the way."""

import time
from collections import Counter

from dev.servers import Servers
from tests.support import factories
from tests.support.books import check_books
from tests.support.buyers import token_for
from tests.support.databases import connected, new_database
from tests.support.expiry import StartService, buy_seats, buy_tickets, shown, states, taken
from tests.support.factories import section, ticket
from tests.support.holds import hold_tickets
from tests.support.wire import check_soon
from ticket_service.stores import schema


def test_where_the_check_knows_no_expired_a_hold_ends_cancelled(
    servers: Servers, start_service: StartService
):
    with new_database(servers.database_url) as url:
        schema.migrate(url, "public")
        with connected(url) as database, database.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE reservations DROP CONSTRAINT reservations_status_check,"
                " ADD CHECK (status IN ('pending', 'confirmed', 'cancelled'))"
            )
            service = start_service(DATABASE_URL=url, RUN_MIGRATIONS="false", HOLD_TTL_SECONDS="1")
            event = factories.make_event(database, sections=[section()], tickets=[ticket()])
            token = token_for()
            held, _ = buy_seats(service, event, token, 0)
            buy_tickets(service, event, token)
            check_soon(lambda: states(database, event), Counter(cancelled=2), seconds=3)
            assert shown(service, held, token)[0] == "cancelled"
            assert taken(service, event) == (0, 100, 100)
            check_books(database)
            service.kill()


def test_a_hold_that_cannot_be_ended_does_not_hold_up_the_others(
    servers: Servers, start_service: StartService
):
    """The stock of the first is back already, and another program's CHECK allows no more."""
    with new_database(servers.database_url) as url:
        schema.migrate(url, "public")
        with connected(url) as database, database.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE ticket_types ADD CHECK (available_quantity <= total_quantity)"
            )
            bad, good = (factories.make_event(database, tickets=[ticket()]) for _ in range(2))
            hold_tickets(database, bad, 1, 0.2)
            hold_tickets(database, good, 3, 0.3)
            cursor.execute(
                "UPDATE ticket_types SET available_quantity = total_quantity WHERE event_id = %s",
                (bad.id,),
            )
            service = start_service(DATABASE_URL=url)
            check_soon(lambda: states(database, good), Counter(expired=3), seconds=3)
            assert states(database, bad) == Counter(pending=1)
            time.sleep(0.6)  # and it is not tried again all the time
            logged = [line["message"] for line in service.log_lines()]
            assert logged.count("hold not ended") == 1
            service.kill()
