"""What browsers send over Socket.IO (docs/contract.md), with their own client."""

import json
import time

import pytest

from tests.support.buyers import token_for
from tests.support.factories import section
from tests.support.others import pay
from tests.support.socket_orders import control, hold, hold_tickets, user_of
from tests.support.visitors import PLACE
from tests.support.wire import is_korean, is_time


@pytest.mark.parametrize("bare", [False, True])
def test_join_event_answers_with_the_stock_and_the_room_is_told_how_many(near, event, bare):
    answer = near.emit("join-event", event.id if bare else {"eventId": event.id})
    stock = {
        "ticketTypeId": event.ticket_type_ids[0],
        "availableQuantity": 50,
        "totalQuantity": 50,
    }
    assert answer == {
        "success": True,
        "eventId": event.id,
        "userCount": 1,
        "ticketTypes": [stock],
    }
    assert near.wait("room-info").args == [{"eventId": event.id, "userCount": 1}]


def test_leave_event_ends_what_is_heard_and_the_others_are_told(
    browser, near, service, other_service, event
):
    stays = browser.connect(other_service.url)
    near.join("join-event", event)
    stays.join("join-event", event)
    stays.wait("room-info", lambda told: told["userCount"] == 2)
    assert near.emit("leave-event", {"eventId": event.id}) == {"success": True}
    stays.wait("room-info", lambda told: told["userCount"] == 1)
    before = len(near.log)
    hold_tickets(service, event)
    stays.wait("ticket-updated")
    assert near.log[before:] == []


def test_join_queue_is_queue_check_and_joins_the_room(near, browser, service, event):
    control(service, event, threshold=1)
    service.post(f"/queue/check/{event.id}", token=token_for())
    answer = near.emit("join-queue", event.id)
    same = service.post(f"/queue/check/{event.id}", token=token_for())
    assert answer.keys() == same.json().keys() | {"success"} == PLACE | {"success", "eventInfo"}
    assert (answer["status"], answer["position"], answer["queueSize"]) == ("queued", 1, 1)
    assert answer["eventInfo"] == {"title": event.title, "artist": "Artist"}
    near.wait("queue-updated", lambda told: told["queueSize"] == 2)


def test_leave_queue_gives_the_place_up_and_ends_what_is_heard(
    browser, near, service, other_service, event
):
    control(service, event, threshold=1)
    service.post(f"/queue/check/{event.id}", token=token_for())
    token = token_for()
    leaver = browser.connect(other_service.url, token)
    leaver.join("join-queue", event)
    near.join("join-queue", event)
    assert near.emit("join-queue", event.id)["position"] == 2
    assert leaver.emit("leave-queue", {"eventId": event.id}) == {"success": True}
    before = len(leaver.log)
    assert near.emit("join-queue", event.id)["position"] == 1
    status = service.get(f"/queue/status/{event.id}", token=token).json()["status"]
    assert status == "not_in_queue"
    service.post(f"/queue/admin/clear/{event.id}", token=token_for(role="admin"))
    near.wait("queue-cleared")
    assert leaver.log[before:] == []


def test_an_open_socket_keeps_the_place_in_line(browser, start_service, event):
    """One waits with an open tab that says nothing, one has gone: only the first keeps it."""
    service = start_service(QUEUE_TTL_SECONDS="2")
    control(service, event, threshold=1)
    inside, waits, went = token_for(), token_for(), token_for()
    browser.connect(service.url, inside).join("join-queue", event)
    service.post(f"/queue/check/{event.id}", token=went)
    tab = browser.connect(service.url, waits)
    assert tab.join("join-queue", event)["position"] == 2
    time.sleep(4)
    status = service.get(f"/queue/status/{event.id}", token=waits).json()
    assert (status["status"], status["position"]) == ("queued", 1)
    assert service.get(f"/queue/status/{event.id}", token=went).json()["status"] == "not_in_queue"


def test_join_seat_selection_answers_with_the_seats_that_are_not_available(
    near, service, event, database
):
    paid = hold(service, event, [1])
    assert pay(database, paid)
    hold(service, event, [0])
    answer = near.emit("join-seat-selection", {"eventId": event.id})
    assert answer.keys() == {"success", "eventId", "version", "timestamp", "seats"}
    assert (answer["success"], answer["eventId"]) == (True, event.id)
    assert is_time(answer["timestamp"])
    assert {seat["seatId"]: seat["status"] for seat in answer["seats"]} == {
        event.seat_ids[0]: "locked",
        event.seat_ids[1]: "reserved",
    }
    assert all(seat.keys() == {"seatId", "status"} for seat in answer["seats"])
    assert near.seats()["version"] == answer["version"] != "00000000"


def test_seat_selection_changed_reaches_the_others_and_never_the_sender(
    browser, service, near, event, make_event
):
    """Whoever chooses is the same stranger to all, another one in another event."""
    token = token_for()
    tabs = [browser.connect(service.url, token) for _ in range(2)]
    another = make_event(sections=[section()])
    for place in (event, another):
        for client in (near, *tabs):
            client.join("join-seat-selection", place)
    chosen = event.seat_ids[:2]
    assert tabs[0].emit("seat-selection-changed", {"eventId": event.id, "seats": chosen}) == {
        "success": True
    }
    first = near.wait("seat-update")
    assert first.payload.keys() == {"eventId", "holder", "seats"}
    assert (first.payload["eventId"], first.payload["seats"]) == (event.id, chosen)
    tabs[1].wait("seat-update")
    second = tabs[1].emit("seat-selection-changed", {"eventId": event.id, "seats": []})
    assert second == {"success": True}
    assert (
        near.wait("seat-update", lambda told: told["seats"] == []).payload["holder"]
        == (first.payload["holder"])
    )
    there, mine = another.seat_ids[:1], event.seat_ids[2:3]
    tabs[0].emit("seat-selection-changed", {"eventId": another.id, "seats": there})
    elsewhere = near.wait("seat-update", lambda told: told["eventId"] == another.id)
    assert elsewhere.payload["holder"] != first.payload["holder"]
    near.emit("seat-selection-changed", {"eventId": event.id, "seats": mine})
    theirs = tabs[0].wait("seat-update", lambda told: told["seats"] == mine).payload
    assert theirs["holder"] != first.payload["holder"]
    # tabs[0] heard the other tab, and the other person, but not itself.
    assert [told["seats"] for told in tabs[0].payloads("seat-update")] == [[], mine]
    assert user_of(token) not in json.dumps([heard.args for heard in near.heard()])


def test_only_who_chooses_seats_of_an_event_says_what_he_chooses(near, browser, service, event):
    watches = browser.connect(service.url)
    watches.join("join-seat-selection", event)
    chosen = event.seat_ids[:1]
    refused = near.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
    assert refused.keys() == {"success", "error", "message", "code"}
    assert (refused["success"], refused["code"]) == (False, "VALIDATION_ERROR")
    assert is_korean(refused["error"])
    near.join("join-seat-selection", event)
    chosen = event.seat_ids[1:2]
    near.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
    watches.wait("seat-update")
    assert [told["seats"] for told in watches.payloads("seat-update")] == [chosen]
