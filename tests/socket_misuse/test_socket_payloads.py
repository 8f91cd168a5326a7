"""Payloads that clients should not send: they are refused, and harm nobody."""

import time

import pytest

from tests.support.factories import ticket
from tests.support.misuse import JOINS, UNKNOWN, check_refusal
from tests.support.wire import each
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.rooms import MAX_ROOMS
from ticket_service.sockets.handlers import MAX_PAYLOAD_BYTES


@pytest.mark.usefixtures("listener")
def test_an_unknown_event_is_not_found(browser, service):
    client = browser.connect(service.url)
    for name in ("join-event", "join-queue", "leave-queue", "join-seat-selection"):
        check_refusal(client.emit(name, {"eventId": UNKNOWN}), "EVENT_NOT_FOUND")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "payload",
    [
        *each("eventId", None, 1, 1.5, True, "", "x", [], {}, "' OR 1=1 --"),
        {},
        {"event_id": UNKNOWN},
        [],
        ["x"],
        None,
        0,
        True,
        "",
        "not an id",
        "\x00",
        "\ud83d\ude00" * 10,
        {"eventId": UNKNOWN, "more": "x" * MAX_PAYLOAD_BYTES},
    ],
    ids=lambda payload: str(payload)[:30],
)
def test_a_wrong_payload_is_refused(browser, service, payload):
    client = browser.connect(service.url)
    for name in [*JOINS, "seat-selection-changed"]:
        check_refusal(client.emit(name, payload), "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
def test_no_payload_is_refused_and_more_than_one_is_ignored(browser, service, event):
    client = browser.connect(service.url)
    for name in [*JOINS, "seat-selection-changed"]:
        check_refusal(client.emit(name), "VALIDATION_ERROR")
    assert client.emit("join-seat-selection", event.id, {"a": 1}, 7, None)["success"] is True


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "more",
    [
        {},
        *each("seats", None, "x", 1, {}, [1], [None], [""], ["x" * 65], ["x"] * 101, [["x"]]),
    ],
    ids=lambda more: str(more)[:30],
)
def test_a_wrong_choice_of_seats_is_refused(browser, service, event, more):
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    refused = client.emit("seat-selection-changed", {"eventId": event.id, **more})
    check_refusal(refused, "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
def test_a_socket_is_only_in_a_few_rooms(browser, service, make_event):
    client = browser.connect(service.url)
    events = [make_event(tickets=[ticket()]) for _ in range(MAX_ROOMS + 1)]
    for one in events[:-1]:
        client.join("join-event", one)
    check_refusal(client.emit("join-event", events[-1].id), "LIMIT_EXCEEDED")
    client.join("join-event", events[0])  # where it is already
    assert client.emit("leave-event", events[0].id) == {"success": True}
    client.join("join-event", events[-1])


@pytest.mark.usefixtures("listener")
def test_too_many_messages_are_refused_until_the_client_has_rested(browser, service, event):
    client = browser.connect(service.url)
    for _ in range(BURST + 10):
        client.send("join-event", event.id)
    check_refusal(client.emit("join-event", event.id), "RATE_LIMITED")
    time.sleep(12 / PER_SECOND)
    assert client.emit("leave-event", event.id) == {"success": True}


@pytest.mark.usefixtures("listener")
def test_unknown_event_names_are_ignored(browser, service, event):
    client = browser.connect(service.url)
    for name in (
        "no-such-event",
        "message",
        "seat-locked",
        "connect_error2",
        "x" * 1000,
        "__class__",
    ):
        client.send(name, {"eventId": event.id})
    assert client.join("join-event", event)
