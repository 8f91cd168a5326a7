"""The seat map: what it shows, and how fresh it is."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support import factories
from tests.support.buyers import at_once, token_for
from tests.support.factories import Event, MakeEvent, insert, one, section, ticket
from tests.support.seat_map import (
    cancel,
    execute,
    hold_tickets,
    own_database,
    reserve,
    seat_map,
    statuses,
)
from tests.support.service import Service
from tests.support.wire import check_error, check_soon

StartService = Callable[..., Service]


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
    service: Service, other_service: Service, make_event: MakeEvent
):
    writers = [service, other_service]
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
    service: Service, other_service: Service, make_event: MakeEvent
):
    writers = [service, other_service]
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
    service: Service, other_service: Service, make_event: MakeEvent
):
    instances = [service, other_service]
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
