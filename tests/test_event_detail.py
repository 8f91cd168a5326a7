"""An event, its ticket types and the seat layouts, as anyone may look at them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.events import get
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.service import Service
from tests.support.wire import check_error, check_soon, is_time


def make_detailed_event(make_event: MakeEvent, database: Connection, creator: str) -> Event:
    """An event with a layout and three ticket types, of which the second has a description."""
    event = make_event(
        event_date=datetime(2026, 11, 22, 13),
        sale_start_date=datetime(2026, 10, 1),
        sale_end_date=datetime(2026, 11, 22, 12),
        created_by=creator,
        sections=[section(seats=1)],
        tickets=[
            ticket("R", price=99_000, total=20, available=7),
            ticket("VIP", price=150_000, total=10),
            ticket("S", price=66_000, total=30, available=0),
        ],
    )
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE ticket_types SET description = '앞자리' WHERE id = %s",
            (event.ticket_type_ids[1],),
        )
    return event


def test_the_detail_has_exactly_the_promised_fields(
    service: Service, make_event: MakeEvent, database: Connection
):
    creator = str(uuid4())
    event = make_detailed_event(make_event, database, creator)
    detail = get(service, f"/events/{event.id}")
    assert is_time(detail["event"].pop("created_at"))
    assert is_time(detail["event"].pop("updated_at"))
    assert creator not in json.dumps(detail)
    standard, vip, small = event.ticket_type_ids
    ticket_types = [
        ticket_type(vip, "VIP", 150_000, 10, 10, "앞자리"),
        ticket_type(standard, "R", 99_000, 20, 7),
        ticket_type(small, "S", 66_000, 30, 0),
    ]
    assert detail == {
        "event": {
            "id": event.id,
            "title": event.title,
            "description": None,
            "venue": "Hall",
            "address": "1 Street",
            "event_date": "2026-11-22T13:00:00.000Z",
            "sale_start_date": "2026-10-01T00:00:00.000Z",
            "sale_end_date": "2026-11-22T12:00:00.000Z",
            "poster_image_url": None,
            "status": "on_sale",
            "artist_name": "Artist",
            "ticket_type_count": 3,
            "min_price": 66_000,
            "max_price": 150_000,
            "seat_layout_id": event.layout_id,
        },
        "ticketTypes": ticket_types,
    }
    assert get(service, f"/tickets/event/{event.id}") == {"ticketTypes": ticket_types}


def ticket_type(
    id: str, name: str, price: int, total: int, available: int, description: str | None = None
) -> dict[str, object]:
    """A ticket type as the wire shows it."""
    return {
        "id": id,
        "name": name,
        "price": price,
        "total_quantity": total,
        "available_quantity": available,
        "description": description,
    }


def test_an_event_without_layout_and_ticket_types_has_none(service: Service, make_event: MakeEvent):
    event = make_event()
    detail = get(service, f"/events/{event.id}")
    assert detail["event"]["seat_layout_id"] is None
    assert detail["ticketTypes"] == []
    assert get(service, f"/tickets/event/{event.id}") == {"ticketTypes": []}


def test_the_detail_shows_when_the_event_was_made_and_changed(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(created_at=datetime(2026, 1, 2, 3, 4, 5))
    detail = get(service, f"/events/{event.id}")["event"]
    assert detail["created_at"] == "2026-01-02T03:04:05.000Z"
    changed = datetime.fromisoformat(detail["updated_at"])
    assert abs(datetime.now(UTC) - changed) < timedelta(minutes=1)


def test_availability_is_the_stock_of_one_ticket_type(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket(total=20, available=7), ticket("VIP", total=3)])
    first, second = event.ticket_type_ids
    stock = get(service, f"/tickets/availability/{first}")
    assert stock == {"available_quantity": 7, "total_quantity": 20}
    stock = get(service, f"/tickets/availability/{second}")
    assert stock == {"available_quantity": 3, "total_quantity": 3}


def test_ids_may_be_in_upper_case(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket()])
    assert get(service, f"/events/{event.id.upper()}")["event"]["id"] == event.id
    [ticket_type_id] = event.ticket_type_ids
    assert get(service, f"/tickets/availability/{ticket_type_id.upper()}")["total_quantity"] == 100


def test_layouts_come_smallest_first(service: Service, make_event: MakeEvent):
    sizes = (700, 3, 20)
    made = {make_event(sections=[section(seats=size)]).layout_id: size for size in sizes}

    def ours() -> list[dict[str, Any]]:
        layouts = get(service, "/seats/layouts")["layouts"]
        return [layout for layout in layouts if layout["id"] in made]

    check_soon(lambda: [layout["total_seats"] for layout in ours()], [3, 20, 700])
    for layout in ours():
        size = made[layout["id"]]
        assert layout.pop("name").startswith("Layout ")
        assert layout == {
            "id": layout["id"],
            "description": "",
            "total_seats": size,
            "layout_config": {"sections": [section(seats=size)]},
        }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/events/{}", "EVENT_NOT_FOUND"),
        ("/tickets/event/{}", "EVENT_NOT_FOUND"),
        ("/tickets/availability/{}", "TICKET_TYPE_NOT_FOUND"),
    ],
)
def test_what_does_not_exist_is_not_found(service: Service, path: str, code: str):
    check_error(service.get(path.format(uuid4())), 404, code)


def test_what_another_program_deletes_is_not_found_within_a_second(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(tickets=[ticket()])
    paths = {
        f"/events/{event.id}": "EVENT_NOT_FOUND",
        f"/tickets/event/{event.id}": "EVENT_NOT_FOUND",
        f"/tickets/availability/{event.ticket_type_ids[0]}": "TICKET_TYPE_NOT_FOUND",
    }
    assert {service.get(path).status for path in paths} == {200}
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM events WHERE id = %s", (event.id,))
    check_soon(lambda: {service.get(path).status for path in paths}, {404}, seconds=1)
    for path, code in paths.items():
        check_error(service.get(path), 404, code)


def test_what_another_program_changes_shows_within_a_second(
    service: Service, make_event: MakeEvent, database: Connection
):
    event = make_event(tickets=[ticket(price=1_000)])

    def seen() -> tuple[str, str, int]:
        [summary] = get(service, "/events", q=event.title)["events"]
        detail = get(service, f"/events/{event.id}")
        return summary["status"], detail["event"]["status"], detail["ticketTypes"][0]["price"]

    assert seen() == ("on_sale", "on_sale", 1_000)
    with database.cursor() as cursor:
        cursor.execute("UPDATE ticket_types SET price = 2000 WHERE event_id = %s", (event.id,))
        cursor.execute("UPDATE events SET status = 'cancelled' WHERE id = %s", (event.id,))
    check_soon(seen, ("cancelled", "cancelled", 2_000), seconds=1)
