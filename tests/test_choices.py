"""What people choose is told to others: seats only, the latest only, and not too much of it."""

import json
import math
import time
from uuid import uuid4

import pytest

from tests.support.buyers import token_for
from tests.support.factories import section
from tests.support.wire import check_soon
from ticket_service.realtime.choices import EMIT_INTERVAL, MAX_PER_INTERVAL
from ticket_service.realtime.message_limit import BURST
from ticket_service.services.event_seats import MAX_AGE

MAX_SEATS = 4
"""That one may hold at once, unless the setting says otherwise."""


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=80)])


@pytest.fixture
def watcher(browser, other_service, event):
    """Someone who looks at the seats, on the second instance."""
    client = browser.connect(other_service.url)
    client.join("join-seat-selection", event)
    return client


def choose(client, event, *seats):
    return client.emit("seat-selection-changed", {"eventId": event.id, "seats": list(seats)})


def told(client):
    return [update["seats"] for update in client.payloads("seat-update")]


# --- What may be chosen ---


def choices(event, other):
    return {
        "any text": ["Buy cheap tickets at evil.example"],
        "an id of nothing": [str(uuid4())],
        "a seat of another event": [other.seat_ids[0]],
        "a seat of another event beside one of this": [event.seat_ids[0], other.seat_ids[0]],
        "more than one may hold": event.seat_ids[: MAX_SEATS + 1],
        "a seat twice": event.seat_ids[:1] * 2,
    }


def test_only_seats_of_the_event_can_be_chosen(browser, service, watcher, event, make_event, redis):
    """And only as many as one may hold. What is refused is told to nobody, nor kept."""
    user_id = str(uuid4())
    client = browser.connect(service.url, token_for(user_id))
    client.join("join-seat-selection", event)
    for name, seats in choices(event, make_event(sections=[section()])).items():
        refused = choose(client, event, *seats)
        assert (refused["success"], refused.get("code")) == (False, "VALIDATION_ERROR"), name
        assert "seats" in refused["details"], name
    chosen = event.seat_ids[:MAX_SEATS]
    assert choose(client, event, *(seat.upper() for seat in chosen)) == {"success": True}
    watcher.wait("seat-update")
    assert told(watcher) == [chosen]
    client.drop()
    assert client.wait("session-restored").payload["selectedSeats"] == chosen


def test_how_many_can_be_chosen_is_a_setting(browser, start_service, event):
    client = browser.connect(start_service(MAX_SEATS_PER_RESERVATION="2").url)
    client.join("join-seat-selection", event)
    assert choose(client, event, *event.seat_ids[:2]) == {"success": True}
    assert choose(client, event, *event.seat_ids[:3])["code"] == "VALIDATION_ERROR"


def test_a_seat_that_was_added_can_be_chosen_by_and_by(browser, service, event, database):
    """Another program adds seats to an event whose seats are known already."""
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    assert choose(client, event, event.seat_ids[0]) == {"success": True}
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price,"
            " status) VALUES (%s, 'New', 1, 1, 'New-1-1', 1, 'available') RETURNING id::text",
            [event.id],
        )
        [added] = cursor.fetchone()
    deadline = time.monotonic() + 2 * MAX_AGE
    while not choose(client, event, added)["success"] and time.monotonic() < deadline:
        time.sleep(0.5)  # not more often than one may
    assert choose(client, event, added) == {"success": True}


def test_text_that_was_kept_before_is_told_to_nobody(browser, service, event, redis):
    """An instance of an older version keeps what was chosen unread."""
    user_id = str(uuid4())
    first = browser.connect(service.url, token_for(user_id))
    first.join("join-seat-selection", event)
    redis.set(f"ticket:{{{user_id}}}:session:chosen", json.dumps(["<script>"]))
    first.drop()
    assert first.wait("session-restored").payload["selectedSeats"] == []


# --- How much of it is told ---


def test_of_many_choices_the_latest_is_told(browser, service, watcher, event):
    """The first one at once, the last one in the end, and hardly any in between."""
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    started = time.time()
    for seat in event.seat_ids[: BURST - 5]:
        client.send("seat-selection-changed", {"eventId": event.id, "seats": [seat]})
    last = watcher.wait("seat-update", lambda seen: seen["seats"] == [event.seat_ids[BURST - 6]])
    assert told(watcher)[0] == [event.seat_ids[0]]
    assert len(told(watcher)) <= (last.at - started) / EMIT_INTERVAL + 2


def test_a_choice_that_did_not_change_is_not_told_again(
    browser, service, other_service, watcher, event
):
    """From whichever of their sockets it comes."""
    token = token_for()
    tabs = [browser.connect(one.url, token) for one in (service, other_service)]
    for tab in tabs:
        tab.join("join-seat-selection", event)
    for _ in range(3):
        for tab in tabs:
            assert choose(tab, event, event.seat_ids[0]) == {"success": True}
            time.sleep(EMIT_INTERVAL)
    choose(tabs[0], event)
    watcher.wait("seat-update", lambda seen: seen["seats"] == [])
    assert told(watcher) == [[event.seat_ids[0]], []]


def test_of_a_crowd_that_chooses_a_room_hears_little_at_a_time(
    browser, service, other_service, watcher, event
):
    """And of each in the end."""
    people = 2 * MAX_PER_INTERVAL + 5
    crowd = [browser.client((service, other_service)[n % 2].url) for n in range(people)]
    for client in crowd:
        client.wait("#connect")
        client.join("join-seat-selection", event)
    for number, client in enumerate(crowd):
        seat = event.seat_ids[number]
        client.send("seat-selection-changed", {"eventId": event.id, "seats": [seat]})
    check_soon(lambda: len(told(watcher)), people, 10)
    assert {seat for [seat] in told(watcher)} == set(event.seat_ids[:people])
    times = [heard.at for heard in watcher.heard("seat-update")]
    assert len(times) <= MAX_PER_INTERVAL * (math.ceil((times[-1] - times[0]) / EMIT_INTERVAL) + 1)
