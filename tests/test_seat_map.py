"""The seat map: what it shows, how fresh it is, and what it costs."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import Servers
from tests.support import factories
from tests.support.buyers import at_once, token_for
from tests.support.databases import connected, migrated_database
from tests.support.factories import Event, insert, one, section, ticket
from tests.support.service import Response, Service, run_service
from tests.support.wire import check_error, check_soon

MakeEvent = Callable[..., Event]
StartService = Callable[..., Service]


@pytest.fixture(scope="module")
def other(servers: Servers, folder: Path) -> Iterator[Service]:
    """A second instance, on the same database and Redis."""
    with run_service(folder) as instance:
        yield instance
        instance.kill()


@contextmanager
def own_database(servers: Servers) -> Iterator[tuple[str, Connection]]:
    """A database for one test alone: its URL, and a connection to it."""
    with migrated_database(servers.database_url) as url, connected(url) as database:
        yield url, database


STADIUM = [section(name, rows=49, seats=25) for name in ("A", "B", "C", "D")]


def seat_map(service: Service, event: Event, **headers: str) -> Response:
    return service.get(f"/seats/events/{event.id}", headers=headers)


def statuses(service: Service, event: Event) -> list[str]:
    return [seat["status"] for seat in seat_map(service, event).json()["seats"]]


def reserve(service: Service, event: Event, seat_id: str, token: str) -> str:
    """Hold one seat; the id of the reservation."""
    order = {"eventId": event.id, "seatIds": [seat_id]}
    answer = service.post("/seats/reserve", token=token, json=order)
    assert answer.status == 201, answer.body
    return str(answer.json()["reservation"]["id"])


def hold_tickets(service: Service, event: Event, quantity: int, token: str) -> str:
    """Hold tickets of the event's first type; the id of the reservation."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    answer = service.post("/reservations", token=token, json={"eventId": event.id, "items": items})
    assert answer.status == 201, answer.body
    return str(answer.json()["reservation"]["id"])


def cancel(service: Service, reservation_id: str, token: str) -> None:
    assert service.post(f"/reservations/{reservation_id}/cancel", token=token).status == 200


def execute(database: Connection, statement: str, *parameters: object) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)


# What it shows


def test_the_seat_map_has_exactly_the_promised_fields(service: Service, make_event: MakeEvent):
    sections = [section("VIP", seats=2, price=150_000, start_row=7)]
    event = make_event(title='따옴표 " \\ 공연', sections=sections)
    answer = seat_map(service, event)
    assert answer.status == 200
    assert answer.json() == {
        "event": {"id": event.id, "title": '따옴표 " \\ 공연'},
        "layout": {"sections": sections},
        "seats": [
            {
                "id": seat_id,
                "section": "VIP",
                "row_number": 7,
                "seat_number": number,
                "seat_label": f"VIP-7-{number}",
                "price": 150_000,
                "status": "available",
            }
            for number, seat_id in enumerate(event.seat_ids, start=1)
        ],
    }


def test_seats_come_by_section_row_and_number(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section("B", rows=11, seats=11), section("A", rows=2, seats=2)])
    seats = seat_map(service, event).json()["seats"]
    places = [(seat["section"], seat["row_number"], seat["seat_number"]) for seat in seats]
    assert places == sorted(places)
    assert len(places) == 11 * 11 + 2 * 2


def test_a_seat_is_available_locked_or_reserved(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(seats=3)])
    for seat_id, status in zip(event.seat_ids, ("locked", "available", "reserved"), strict=True):
        execute(database, "UPDATE seats SET status = %s WHERE id = %s", status, seat_id)
    assert statuses(service, event) == ["locked", "available", "reserved"]


def test_an_event_without_a_layout_has_no_seat_selection(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket()])
    check_error(seat_map(service, event), 404, "SEAT_SELECTION_UNAVAILABLE")


def test_an_event_with_a_layout_may_have_no_seats_yet(service: Service, make_event: MakeEvent):
    layout_id = make_event(sections=[section()]).layout_id
    event = make_event(seat_layout_id=layout_id)
    answer = seat_map(service, event).json()
    assert answer["layout"] == {"sections": [section()]}
    assert answer["seats"] == []


def test_the_seat_map_of_an_unknown_event_is_not_found(service: Service):
    check_error(service.get(f"/seats/events/{uuid4()}"), 404, "EVENT_NOT_FOUND")


# How fresh it is


def test_the_next_read_shows_a_seat_write_of_any_instance(
    service: Service, other: Service, make_event: MakeEvent
):
    writers = [service, other]
    event = make_event(sections=[section(seats=20)])
    free = ["available"] * len(event.seat_ids)
    assert statuses(service, event) == free
    for position, seat_id in enumerate(event.seat_ids):
        writer, token = writers[position % 2], token_for()
        reservation_id = reserve(writer, event, seat_id, token)
        assert statuses(service, event) == [
            "locked" if at == position else "available" for at in range(len(free))
        ]
        cancel(writer, reservation_id, token)
        assert statuses(service, event) == free


def test_the_next_read_shows_a_ticket_write_of_any_instance(
    service: Service, other: Service, make_event: MakeEvent
):
    writers = [service, other]
    event = make_event(tickets=[ticket(total=50)])
    [ticket_type_id] = event.ticket_type_ids

    def left() -> set[int]:
        """What is left, as each of the three places shows it."""
        lists = [service.get(f"/events/{event.id}"), service.get(f"/tickets/event/{event.id}")]
        stock = service.get(f"/tickets/availability/{ticket_type_id}").json()
        return {answer.json()["ticketTypes"][0]["available_quantity"] for answer in lists} | {
            stock["available_quantity"]
        }

    assert left() == {50}
    for turn in range(20):
        writer, token, quantity = writers[turn % 2], token_for(), 1 + turn % 3
        reservation_id = hold_tickets(writer, event, quantity, token)
        assert left() == {50 - quantity}
        cancel(writer, reservation_id, token)
        assert left() == {50}


def test_many_buyers_at_once_each_see_their_own_seat(
    service: Service, other: Service, make_event: MakeEvent
):
    instances = [service, other]
    event = make_event(sections=[section(seats=40)])

    def buy(position: int) -> str:
        reserve(instances[position % 2], event, event.seat_ids[position], token_for())
        return statuses(instances[(position + 1) % 2], event)[position]

    seen = at_once([partial(buy, position) for position in range(40)])
    assert seen == ["locked"] * 40


def test_a_read_that_began_before_a_write_is_not_given_to_those_who_come_after_it(
    servers: Servers, start_service: StartService
):
    with own_database(servers) as (url, database):
        service = start_service(DATABASE_URL=url)
        event = factories.make_event(database, tickets=[ticket(total=50)])
        execute(database, LOCKED_EVENTS)

        def left() -> int:
            ticket_types = service.get(f"/events/{event.id}").json()["ticketTypes"]
            return int(ticket_types[0]["available_quantity"])

        with ThreadPoolExecutor() as threads, closing(psycopg2.connect(url)) as other:
            one(other, "SELECT pg_advisory_lock(1)")
            early = threads.submit(left)
            check_soon(lambda: one(database, READERS), 1)
            hold_tickets(service, event, 1, token_for())
            late = threads.submit(left)
            time.sleep(0.2)  # it arrives while the early one waits
            one(other, "SELECT pg_advisory_unlock(1)")
            assert (early.result(), late.result()) == (50, 49)
        service.kill()


# Whoever reads the description of an event, as a purchase does not, waits while the data grow old.
# The function is called STABLE so that it is not called for who leaves that column out.
LOCKED_EVENTS = """
    CREATE FUNCTION when_unlocked(given text) RETURNS text STABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN given; END $$;
    ALTER TABLE events RENAME TO fast_events;
    ALTER TABLE fast_events RENAME description TO fast_description;
    CREATE VIEW events AS
    SELECT *, when_unlocked(fast_description) AS description FROM fast_events
"""

READERS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
"""How many of them wait."""


def test_an_id_in_upper_case_names_the_same_event(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section(seats=1)])
    upper = Event(id=event.id.upper(), title=event.title, seat_ids=event.seat_ids)
    assert seat_map(service, upper).body == seat_map(service, event).body
    for buyer, reader in ((upper, event), (event, upper)):
        token = token_for()
        reservation_id = reserve(service, buyer, event.seat_ids[0].upper(), token)
        assert statuses(service, reader) == statuses(service, buyer) == ["locked"]
        cancel(service, reservation_id.upper(), token)
        assert statuses(service, reader) == statuses(service, buyer) == ["available"]


def test_another_programs_writes_show_within_a_second(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section(seats=3)], tickets=[ticket(total=50)])
    [ticket_type_id] = event.ticket_type_ids

    def shown() -> tuple[list[str], int, int]:
        detail = service.get(f"/events/{event.id}").json()
        stock = service.get(f"/tickets/availability/{ticket_type_id}").json()
        left = detail["ticketTypes"][0]["available_quantity"]
        return statuses(service, event), left, stock["available_quantity"]

    assert shown() == (["available"] * 3, 50, 50)
    execute(
        database, "UPDATE ticket_types SET available_quantity = 8 WHERE id = %s", ticket_type_id
    )
    execute(database, "UPDATE seats SET status = 'reserved' WHERE id = %s", event.seat_ids[1])
    check_soon(shown, (["available", "reserved", "available"], 8, 8), seconds=1)


def test_a_seat_that_another_program_adds_shows_within_a_second(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(sections=[section("B", seats=2)])
    assert statuses(service, event) == ["available"] * 2
    seat = {"section": "A", "row_number": 1, "seat_number": 1, "seat_label": "A-1-1", "price": 9}
    added = insert(database, "seats", event_id=event.id, status="locked", **seat)

    def shown() -> list[tuple[str, str]]:
        seats = seat_map(service, event).json()["seats"]
        return [(seat["id"], seat["status"]) for seat in seats]

    now = [(added, "locked"), *((old, "available") for old in event.seat_ids)]
    check_soon(shown, now, seconds=1)


# What it costs


def test_a_client_that_has_the_answer_gets_304_without_a_body(
    service: Service, make_event: MakeEvent
):
    event = make_event(sections=[section()])
    etag = seat_map(service, event).headers["ETag"]
    answer = seat_map(service, event, **{"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("{etag}", 304),
        ("W/{opaque}", 304),
        ("{opaque}", 304),
        ('"other", {etag}', 304),
        ('W/"other",{opaque} , "third"', 304),
        ("*", 304),
        ('"other"', 200),
        ('W/"other", "third"', 200),
        ('"*"', 200),
        ("", 200),
    ],
)
def test_if_none_match_is_compared_weakly(
    service: Service, make_event: MakeEvent, sent: str, status: int
):
    event = make_event(sections=[section()])
    etag = seat_map(service, event).headers["ETag"]
    sent = sent.format(etag=etag, opaque=etag.removeprefix("W/"))
    assert seat_map(service, event, **{"If-None-Match": sent}).status == status


def test_the_etag_changes_with_a_write_and_comes_back_with_its_undoing(
    service: Service, other: Service, make_event: MakeEvent
):
    token = token_for()
    event = make_event(sections=[section()])
    before = seat_map(service, event).headers["ETag"]
    assert seat_map(other, event).headers["ETag"] == before
    reservation_id = reserve(other, event, event.seat_ids[0], token)
    changed = seat_map(service, event, **{"If-None-Match": before})
    assert changed.status == 200
    assert changed.headers["ETag"] != before
    cancel(other, reservation_id, token)
    assert seat_map(service, event, **{"If-None-Match": before}).status == 304


def test_the_etag_changes_with_a_single_digit(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket(total=50)])
    paths = [
        f"/events/{event.id}",
        f"/tickets/event/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
    ]
    before = [service.get(path).headers["ETag"] for path in paths]
    hold_tickets(service, event, 1, token_for())
    after = [service.get(path).headers["ETag"] for path in paths]
    assert not set(before) & set(after)


def test_every_public_read_has_an_etag(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()], tickets=[ticket()])
    for path in (
        f"/events?q={event.title.split()[1]}",
        f"/events/{event.id}",
        f"/tickets/event/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
        "/seats/layouts",
        f"/seats/events/{event.id}",
    ):
        first = service.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = service.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status == 304, path


@pytest.mark.parametrize("accepted", ["gzip", "GZIP", "br, gzip;q=0.5", "*"])
def test_a_large_answer_is_compressed_for_those_who_accept_it(
    service: Service, make_event: MakeEvent, accepted: str
):
    event = make_event(sections=[section(seats=50)])
    plain = seat_map(service, event)
    small = seat_map(service, event, **{"Accept-Encoding": accepted})
    assert small.headers["Content-Encoding"] == "gzip"
    assert int(small.headers["Content-Length"]) < len(plain.body) / 2
    assert small.body == plain.body  # the client has unpacked it
    assert small.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in small.headers["Vary"]


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip;q=0, *", "br", ""])
def test_an_answer_is_not_compressed_for_those_who_do_not(
    service: Service, make_event: MakeEvent, accepted: str
):
    event = make_event(sections=[section(seats=50)])
    seat_map(service, event, **{"Accept-Encoding": "gzip"})
    plain = seat_map(service, event, **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain.headers
    assert int(plain.headers["Content-Length"]) == len(plain.body)
    assert len(plain.json()["seats"]) == 50
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_a_small_answer_is_not_compressed(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket()])
    path = f"/tickets/availability/{event.ticket_type_ids[0]}"
    answer = service.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_a_crowd_at_an_unread_seat_map_makes_it_once(servers: Servers, start_service: StartService):
    with own_database(servers) as (url, database):
        service = start_service(DATABASE_URL=url)
        stadium = factories.make_event(database, sections=STADIUM)
        before = seat_rows_read(database)
        crowd = [partial(seat_map, service, stadium, **{"Accept-Encoding": "gzip"})] * 50
        assert {len(answer.json()["seats"]) for answer in at_once(crowd)} == {4900}

        # The negative control: one more reading, for another program's write, is counted.
        [first, *_] = stadium.seat_ids
        execute(database, "UPDATE seats SET status = 'reserved' WHERE id = %s", first)
        check_soon(lambda: statuses(service, stadium)[0], "reserved")

        service.kill()
        check_soon(lambda: one(database, OTHERS), 0, seconds=10)
        assert (seat_rows_read(database) - before) // 4900 == 2


def seat_rows_read(database: Connection) -> int:
    """How many rows of `seats` PostgreSQL has read for programs that have ended, and for us."""
    one(database, "SELECT pg_stat_force_next_flush()")
    rows = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'seats'"
    return int(one(database, rows))


OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
"""


def test_what_does_not_exist_leaves_nothing_in_redis(service: Service, redis: Redis):
    unknown = str(uuid4())
    for path in (f"/seats/events/{unknown}", f"/events/{unknown}", f"/tickets/event/{unknown}"):
        assert service.get(path).status == 404
    assert redis.keys(f"*{unknown}*") == []
