"""Handshakes and requests as they should not be, and clients without a valid token."""

import json
import re
import time

import pytest

from tests.support.buyers import token_for
from tests.support.misuse import check_refusal
from tests.support.websocket import handshake, newcomer, raw, websocket
from ticket_service.sockets.server import LOGIN_TIMEOUT


@pytest.mark.usefixtures("listener")
def test_without_a_token_nothing_is_answered_and_nothing_heard(service, event):
    """The connection of Engine.IO stands before the token is shown."""
    with newcomer(service.port) as client:
        client.say(f'421["join-seat-selection","{event.id}"]')
        body = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
        assert service.post("/seats/reserve", token=token_for(), json=body).status == 201
        client.say("40{}")
        first = client.read_until(rb"4[0-9]")
        assert b"44{" in first
        assert b"seat" not in first


@pytest.mark.usefixtures("listener")
def test_who_shows_no_valid_token_may_not_stay(service):
    """One shows none, one stays after its token's end; each has opened the connection itself."""
    token = token_for(exp=int(time.time()) + 2)
    with newcomer(service.port) as silent, websocket(service.port, token) as stays:
        started = time.monotonic()
        for client in (silent, stays):
            client.connection.settimeout(LOGIN_TIMEOUT + 5)
            assert client.ended()
        assert time.monotonic() - started < LOGIN_TIMEOUT + 7  # before pings would be missed


def test_a_client_cannot_have_itself_forgotten(browser, service, event):
    """Then nobody would close it when its token ends."""
    token = token_for(exp=int(time.time()) + 3)
    with websocket(service.port, token) as client:
        client.emit("join-seat-selection", event.id)
        client.emit("disconnect", "transport close")
        assert client.ended()


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("key", [None, ""])
def test_a_handshake_without_a_key_is_refused(service, key):
    with raw(service.port) as client:
        client.send(handshake(Sec_WebSocket_Key=key))
        assert client.connection.recv(65_536).startswith(b"HTTP/1.1 400")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Connection": None},
        {"Connection": "keep-alive"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": None},
    ],
    ids=str,
)
def test_a_request_that_cannot_become_a_websocket_is_told_how(service, headers):
    with raw(service.port) as client:
        client.send(handshake(**headers))
        answer = client.read_until(rb"\{.*\}").decode()
    assert answer.startswith("HTTP/1.1 426 ")
    assert re.search(r"(?im)^upgrade: websocket\r$", answer)
    assert re.search(r"(?im)^connection: upgrade\r$", answer)
    assert re.search(r"(?im)^sec-websocket-version: 13\r$", answer)
    refusal = json.loads(answer[answer.index("{") :])
    assert refusal.pop("requestId")
    check_refusal(refusal, "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "EIO=3&transport=polling",
        "EIO=4",
        "EIO=4&transport=x",
        "EIO=4&transport=polling&sid=x",
        "EIO=4&transport=websocket",
        "EIO=4&transport=websocket&sid=x",
        "EIO=&transport=polling&sid=",
        "EIO=4&transport=polling&j=x",
        "EIO=4&transport=polling&b64=1&j=1",
    ],
)
def test_a_wrong_request_is_refused(service, query):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        answer = service.request(
            method, f"/socket.io/?{query}", body=b"x" if method == "POST" else None
        )
        assert answer.status < 500, (method, answer.body)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "body",
    [b"", b"\x1e", b"x", b"4\x1e4\x1e", b"40\x1e" * 100, b"\xff", b"2" * 200_000, b"6\x1e" * 50],
    ids=lambda body: str(body[:10]),
)
def test_a_wrong_body_harms_nobody(service, body):
    path = "/socket.io/?EIO=4&transport=polling"
    opened = service.request("GET", path)
    [sid] = re.findall(rb'"sid":"([^"]+)"', opened.body)
    answer = service.request("POST", f"{path}&sid={sid.decode()}", body=body)
    assert answer.status < 500, answer.body
