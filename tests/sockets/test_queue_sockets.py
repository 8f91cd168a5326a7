"""The waiting room over Socket.IO: who gets in, and what is acknowledged."""

import json
import time
from uuid import uuid4

import pytest

from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.visitors import PLACE, Visitor, arrive
from tests.support.wire import check_soon, is_korean
from ticket_service.stores import keys

UNKNOWN = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"


# Who gets in


@pytest.mark.parametrize(
    "token",
    [None, "", "not-a-token", "x.y.z", 5, [], {}, True, token_for(exp=1), token_for(role="root")],
    ids=lambda token: repr(token)[:15],
)
def test_a_socket_without_a_good_token_is_refused(browser, service, token):
    message = browser.refusal(service.url, {"token": token})["message"]
    assert "authentication" in message
    assert is_korean(message)


@pytest.mark.parametrize("auth", [None, {}, "text", [], {"Token": "x"}], ids=repr)
def test_a_socket_without_any_token_is_refused(browser, service, auth):
    refused = browser.refusal(service.url, auth)
    assert "authentication" in refused["message"]
    assert refused["data"]["code"] == "AUTHENTICATION_REQUIRED"


def test_a_refusal_says_why(browser, service):
    assert (
        browser.refusal(service.url, {"token": token_for(exp=1)})["data"]["code"] == "TOKEN_EXPIRED"
    )
    assert browser.refusal(service.url, {"token": "x.y.z"})["data"]["code"] == "INVALID_TOKEN"


def test_a_token_in_the_url_does_not_count(browser, service):
    assert browser.refusal(f"{service.url}?token={token_for()}", None)


def test_only_our_pages_may_open_sockets(service):
    def shake_hands(origin):
        path = "/socket.io/?EIO=4&transport=polling"
        return service.request("GET", path, headers={"Origin": origin}).status

    assert shake_hands("http://localhost:3000") == 200
    assert shake_hands("https://elsewhere.example") == 400


def test_polling_serves_those_whose_network_allows_no_websocket(service, room):
    visitor = Visitor(service, room)

    def poll(session=""):
        path = f"/socket.io/?EIO=4&transport=polling{session}"
        return service.request("GET", path).body.decode()

    session = "&sid=" + json.loads(poll()[1:])["sid"]

    def send(packet):
        path = f"/socket.io/?EIO=4&transport=polling{session}"
        assert service.request("POST", path, body=packet).body == b"OK"

    send("40" + json.dumps({"token": visitor.token}))
    assert poll(session).startswith("40{")
    send('421["join-queue",' + json.dumps({"eventId": room}) + "]")
    packets = poll(session).split("\x1e")
    [acknowledged] = json.loads(next(p for p in packets if p.startswith("431"))[3:])
    assert acknowledged["status"] == "active"
    send("1")


# What is acknowledged


def test_joining_is_the_same_as_checking(service, room):
    arrive(service, room, 1)
    visitor = Visitor(service, room)
    with run_client(service.url, visitor.token) as socket:
        joined = socket.emit("join-queue", {"eventId": room})
        assert joined.keys() == PLACE | {"eventInfo", "success"}
        assert joined.pop("success") is True
        assert joined == visitor.check()
        assert (joined["status"], joined["position"]) == ("queued", 1)
        for payload in (room, room.upper(), {"eventId": room.upper()}):
            assert socket.emit("join-queue", payload)["position"] == 1
    assert visitor.check()["queueSize"] == 1


def test_joining_an_empty_room_is_coming_in(service, room):
    with run_client(service.url, token_for()) as socket:
        assert socket.emit("join-queue", room)["status"] == "active"


BAD: list[tuple[object, str]] = [
    (None, "VALIDATION_ERROR"),
    ("", "VALIDATION_ERROR"),
    ("abc", "VALIDATION_ERROR"),
    (5, "VALIDATION_ERROR"),
    (True, "VALIDATION_ERROR"),
    ([], "VALIDATION_ERROR"),
    ({}, "VALIDATION_ERROR"),
    ({"eventId": None}, "VALIDATION_ERROR"),
    ({"eventId": 5}, "VALIDATION_ERROR"),
    ({"eventId": [UNKNOWN]}, "VALIDATION_ERROR"),
    ({"eventId": UNKNOWN + "\n"}, "VALIDATION_ERROR"),
    ({"eventid": UNKNOWN}, "VALIDATION_ERROR"),
    ("x" * 10_000, "VALIDATION_ERROR"),
    (UNKNOWN, "EVENT_NOT_FOUND"),
    ({"eventId": UNKNOWN}, "EVENT_NOT_FOUND"),
]


@pytest.mark.parametrize("name", ["join-queue", "leave-queue"])
def test_bad_payloads_are_acknowledged_and_harm_nobody(service, room, name, redis):
    inside, waiting = arrive(service, room, 2)
    with run_client(service.url, waiting.token) as socket:
        socket.emit("join-queue", room)
        for payload, code in BAD:
            refused = socket.emit(name, payload)
            assert refused.keys() - {"details"} == {"success", "error", "message", "code"}
            assert (refused["success"], refused["code"]) == (False, code), payload
            assert refused["error"] == refused["message"]
            assert is_korean(refused["error"])
            socket.send(name, payload)  # without an acknowledgement
        socket.send(name)
        socket.send(name, room + "0", room, "more")
        socket.send("no-such-event", room)
        assert socket.emit("join-queue", room)["position"] == 1
    assert [inside.stands(), waiting.stands()] == [("active", 0), ("queued", 1)]
    assert not list(redis.scan_iter(f"*{UNKNOWN}*", count=1000))


def test_a_message_that_is_far_too_long_costs_its_sender_the_socket_only(browser, service, room):
    bystander, sender = browser.connect(service.url), browser.connect(service.url)
    sender.send("join-queue", "x" * 100_000)
    sender.wait("#disconnect")
    assert bystander.emit("join-queue", room)["status"] == "active"


def test_leaving_gives_the_place_up(service, room):
    inside, third = Visitor(service, room), Visitor(service, room)
    with run_client(service.url, inside.token) as socket:
        socket.emit("join-queue", room)
        third.check()
        assert socket.emit("leave-queue", {"eventId": room}) == {"success": True}
        check_soon(third.stands, ("active", 0))
        assert inside.stands() == ("not_in_queue", 0)
        assert socket.emit("leave-queue", room) == {"success": True}


# The end


@pytest.mark.parametrize("crowd", [1, 20])
def test_open_sockets_do_not_delay_the_end_of_an_instance(browser, start_service, room, crowd):
    service = start_service()
    sockets = [browser.connect(service.url) for _ in range(crowd)]
    for socket in sockets:
        socket.emit("join-queue", room)
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < 6  # graceful_timeout is 25
    for socket in sockets:
        socket.wait("#disconnect")


def test_an_unknown_event_of_a_socket_leaves_no_trace(service, redis):
    unknown = str(uuid4())
    with run_client(service.url, token_for()) as socket:
        for name in ("join-queue", "leave-queue"):
            assert socket.emit(name, unknown)["code"] == "EVENT_NOT_FOUND"
        time.sleep(0.5)
    assert not list(redis.scan_iter(f"*{unknown}*", count=1000))
    assert redis.zscore(keys.WAITING_LINES, unknown) is None
