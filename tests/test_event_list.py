"""The list of events: its pages, filters and search."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.events import get, listed, word
from tests.support.factories import MakeEvent, insert, section, ticket
from tests.support.service import Service
from tests.support.wire import check_soon

HOUR = timedelta(hours=1)


def test_an_event_in_the_list_has_exactly_the_promised_fields(
    service: Service, make_event: MakeEvent
):
    title = word()
    event = make_event(
        title=title,
        description="두 번째 공연",
        venue="올림픽홀",
        address="서울시 송파구",
        event_date=datetime(2026, 11, 22, 13),
        sale_start_date=datetime(2026, 10, 1, 0, 0, 0, 123_999),
        sale_end_date=datetime(2026, 11, 22, 12, 59, 59, 5_000),
        poster_image_url="https://example.com/poster.png",
        status="upcoming",
        artist_name="가수",
        created_by=str(uuid4()),
        tickets=[ticket(price=30_000), ticket("VIP", price=150_000), ticket("R", price=99_000)],
    )
    assert get(service, "/events", q=title) == {
        "events": [
            {
                "id": event.id,
                "title": title,
                "description": "두 번째 공연",
                "venue": "올림픽홀",
                "address": "서울시 송파구",
                "event_date": "2026-11-22T13:00:00.000Z",
                "sale_start_date": "2026-10-01T00:00:00.123Z",
                "sale_end_date": "2026-11-22T12:59:59.005Z",
                "poster_image_url": "https://example.com/poster.png",
                "status": "upcoming",
                "artist_name": "가수",
                "ticket_type_count": 3,
                "min_price": 30_000,
                "max_price": 150_000,
            }
        ],
        "pagination": {"page": 1, "limit": 10, "total": 1, "totalPages": 1},
    }


def test_prices_are_null_without_ticket_types(service: Service, make_event: MakeEvent):
    event = make_event()
    [summary] = get(service, "/events", q=event.title)["events"]
    prices = {name: summary[name] for name in ("ticket_type_count", "min_price", "max_price")}
    assert prices == {"ticket_type_count": 0, "min_price": None, "max_price": None}


def test_the_list_is_ordered_by_start_of_sale_then_id(service: Service, make_event: MakeEvent):
    in_order = make_events_in_order(make_event, artist := word())
    assert listed(service, q=artist) == in_order


def test_pages_show_every_event_once_in_the_same_order(service: Service, make_event: MakeEvent):
    in_order = make_events_in_order(make_event, artist := word())
    pages = [get(service, "/events", q=artist, page=page, limit=3) for page in (1, 2, 3, 4)]
    assert [len(page["events"]) for page in pages] == [3, 3, 1, 0]
    assert [event["id"] for page in pages for event in page["events"]] == in_order
    assert [page["pagination"] for page in pages] == [
        {"page": number, "limit": 3, "total": 7, "totalPages": 3} for number in (1, 2, 3, 4)
    ]


def make_events_in_order(make_event: MakeEvent, artist: str) -> list[str]:
    """Seven events, five of which start their sale together; their ids as the list orders them."""
    start = datetime(2026, 5, 1)
    late = make_event(artist_name=artist, sale_start_date=start + HOUR)
    ties = [make_event(artist_name=artist, sale_start_date=start) for _ in range(5)]
    early = make_event(artist_name=artist, sale_start_date=start - HOUR)
    return [early.id, *sorted(event.id for event in ties), late.id]


def test_a_page_has_ten_events_and_a_hundred_at_most(service: Service, make_event: MakeEvent):
    artist = word()
    for _ in range(11):
        make_event(artist_name=artist)
    first = get(service, "/events", q=artist)
    assert len(first["events"]) == 10
    assert first["pagination"] == {"page": 1, "limit": 10, "total": 11, "totalPages": 2}
    assert len(get(service, "/events", q=artist, limit=100)["events"]) == 11


def test_nothing_found_is_an_empty_page(service: Service):
    assert get(service, "/events", q=word()) == {
        "events": [],
        "pagination": {"page": 1, "limit": 10, "total": 0, "totalPages": 0},
    }


@pytest.mark.parametrize("status", ["upcoming", "on_sale", "sold_out", "ended", "cancelled"])
def test_the_list_filters_by_status(service: Service, make_event: MakeEvent, status: str):
    artist = word()
    made = {
        name: make_event(artist_name=artist, status=name).id
        for name in ("upcoming", "on_sale", "sold_out", "ended", "cancelled")
    }
    assert listed(service, q=artist, status=status) == [made[status]]


def test_without_filters_the_list_has_every_event(service: Service, make_event: MakeEvent):
    before = datetime(1970, 1, 1)
    made = [make_event(sale_start_date=before, status=name).id for name in ("ended", "cancelled")]
    check_soon(lambda: set(made) <= set(listed(service)), True)
    check_soon(lambda: set(made) <= set(listed(service, q="")), True)
    check_soon(lambda: set(made) <= set(listed(service, q="  ")), True)


@pytest.mark.parametrize("column", ["title", "artist_name", "venue", "address"])
def test_a_search_finds_a_part_of_each_text(service: Service, make_event: MakeEvent, column: str):
    part = word()
    event = make_event(**{column: f"무대 {part} stage"})
    make_event(description=part)
    assert listed(service, q=part) == [event.id]


def test_a_search_ignores_case_and_blanks_around_it(service: Service, make_event: MakeEvent):
    part = word()
    event = make_event(title=f"Big {part.upper()} Show")
    assert listed(service, q=f"  {part}  ") == [event.id]
    assert listed(service, q=part.capitalize()) == [event.id]


@pytest.mark.parametrize(
    ("query", "found", "not_found"),
    [
        ("100%", "100% live", "100 live"),
        ("a_b", "a_b", "axb"),
        ("a\\b", "a\\b", "ab"),
        ("\\", "\\", "x"),
        ("a\\%", "a\\% x", "a\\ x"),
        ("'", "'s", "s"),
        ("%%", "%%", "%x"),
    ],
)
def test_a_search_takes_every_character_literally(
    service: Service, make_event: MakeEvent, query: str, found: str, not_found: str
):
    prefix = word()
    event = make_event(title=f"{prefix}{found}")
    make_event(title=f"{prefix}{not_found}")
    assert listed(service, q=f"{prefix}{query}") == [event.id]


def test_a_search_does_not_run_over_the_end_of_a_text(service: Service, make_event: MakeEvent):
    title, artist = word(), word()
    make_event(title=title, artist_name=artist)
    for gap in ("", " ", "\n"):
        assert listed(service, q=f"{title}{gap}{artist}") == []


def test_a_word_also_finds_its_twin_in_the_other_language(
    service: Service, make_event: MakeEvent, database: Connection
):
    korean, english = f"가수{word()}", f"Singer{word()}"
    insert(database, "keyword_mappings", korean=korean, english=english, entity_type="artist")
    made = [
        make_event(title=f"{korean} 콘서트", sale_start_date=datetime(2026, 5, 1)).id,
        make_event(artist_name=english.upper(), sale_start_date=datetime(2026, 5, 2)).id,
    ]
    make_event(title="Somebody else")
    for query in (korean, english, english.lower(), english.upper()):
        assert listed(service, q=query) == made


def test_a_twin_is_found_inside_a_longer_search(
    service: Service, make_event: MakeEvent, database: Connection
):
    korean, english = f"가수{word()}", f"singer{word()}"
    insert(database, "keyword_mappings", korean=korean, english=english)
    in_english = make_event(title=f"{english} tour")
    make_event(title=f"{english} fan meeting")
    in_korean = make_event(title=f"{korean} 투어")
    assert listed(service, q=f"{korean} Tour") == [in_english.id]
    assert listed(service, q=f"{english.upper()} 투어") == [in_korean.id]


def test_two_words_of_a_search_may_both_have_twins(
    service: Service, make_event: MakeEvent, database: Connection
):
    korean, english = [f"가수{word()}", f"공연{word()}"], [f"singer{word()}", f"show{word()}"]
    for pair in zip(korean, english, strict=True):
        insert(database, "keyword_mappings", korean=pair[0], english=pair[1])
    event = make_event(title=" ".join(korean))
    assert listed(service, q=" ".join(english)) == [event.id]


def test_an_empty_status_means_any(service: Service, make_event: MakeEvent):
    title = word()
    event = make_event(title=title, status="ended")
    assert listed(service, q=title, status="") == [event.id]


def test_a_twin_is_taken_literally_too(
    service: Service, make_event: MakeEvent, database: Connection
):
    korean, english = f"가수{word()}", f"{word()}%_\\x"
    insert(database, "keyword_mappings", korean=korean, english=english)
    event = make_event(title=english)
    make_event(title=english.replace("%_\\", "abc"))
    assert listed(service, q=korean) == [event.id]


def test_prices_are_those_of_the_seats_where_there_are_no_ticket_types(
    service: Service, make_event: MakeEvent
):
    halls = [section("VIP", price=90_000), section("A", price=40_000, start_row=2)]
    events = [
        (make_event(title=(title := f"hall {uuid4()}"), sections=halls), (40_000, 90_000)),
        (make_event(title=title, sections=halls, tickets=[ticket(price=30_000)]), (30_000, 30_000)),
        (make_event(title=title), (None, None)),
    ]
    listed = service.get(f"/events?q={title.split()[1]}").json()["events"]
    seen = {event["id"]: (event["min_price"], event["max_price"]) for event in listed}
    assert seen == {event.id: prices for event, prices in events}
    for event, prices in events:
        detail = service.get(f"/events/{event.id}").json()["event"]
        assert (detail["min_price"], detail["max_price"]) == prices
