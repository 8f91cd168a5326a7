"""What one answer says of a hold is true at one moment."""

from collections.abc import Callable

from dev.servers import Servers
from tests.support import factories
from tests.support.buyers import token_for
from tests.support.databases import connected, migrated_database
from tests.support.factories import section
from tests.support.service import Service

# Whoever reads a seat's label waits, and meanwhile the hold ends.
SLOW_SEATS = """
    ALTER TABLE seats RENAME TO fast_seats;
    ALTER TABLE fast_seats RENAME seat_label TO fast_label;
    CREATE VIEW seats AS
    SELECT *, (SELECT fast_label FROM pg_sleep(1)) AS seat_label FROM fast_seats
"""

END_SOON = """
    UPDATE reservations SET expires_at = clock_timestamp() AT TIME ZONE 'UTC' + interval '0.5 s'
"""


def test_status_and_is_expired_are_of_the_same_moment(
    servers: Servers, start_service: Callable[..., Service]
):
    with migrated_database(servers.database_url) as url, connected(url) as database:
        service = start_service(DATABASE_URL=url)
        event = factories.make_event(database, sections=[section()])
        token = token_for()
        body = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
        held = service.post("/seats/reserve", token=token, json=body).json()["reservation"]["id"]
        with database.cursor() as cursor:
            cursor.execute(SLOW_SEATS)
            cursor.execute(END_SOON)
        reservation = service.get(f"/reservations/{held}", token=token).json()["reservation"]
        said = (reservation["status"], reservation["isExpired"])
        assert said in {("pending", False), ("expired", True)}  # the latter on a busy machine
        service.kill()
