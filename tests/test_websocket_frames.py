"""Frames that nobody should send, and too many of them."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.buyers import token_for
from tests.support.websocket import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    newcomer,
    websocket,
)
from ticket_service.realtime.budgets import NEWCOMER, SIGNED_IN
from ticket_service.realtime.websocket import MAX_FRAGMENTS

CLIENTS = pytest.mark.parametrize("client_of", [websocket, newcomer], ids=["signed in", "new"])
"""Signed in, and not."""


# --- Too many ---

FLOODS = {
    "pings": frame(b"", PING) * 10_000,
    "pongs": frame(b"", PONG) * 10_000,
    "empty messages of Engine.IO": frame(b"6") * 10_000,
    "empty messages": frame(b"") * 10_000,
}


def send_all(client, data):
    """Send it often, until the connection ends."""
    try:
        for _ in range(200):
            client.send(data)
    except (ConnectionError, TimeoutError):
        pass


def closed_while_served(service, client, data):
    """The code with which a flood is closed; other requests are answered meanwhile."""
    longest = 0.0
    with ThreadPoolExecutor(2) as pool:
        pool.submit(send_all, client, data)
        code = pool.submit(client.close_code)
        while not code.done():
            started = time.monotonic()
            assert service.request("GET", "/health").status == 200
            longest = max(longest, time.monotonic() - started)
            time.sleep(0.01)
    assert longest < 1
    return code.result()


@CLIENTS
@pytest.mark.parametrize("kind", ["pings", "pongs", "empty messages of Engine.IO"])
def test_a_flood_of_frames_is_closed(service, client_of, kind):
    before = closed(service, "policy_violation")
    with client_of(service.port) as client:
        assert closed_while_served(service, client, FLOODS[kind]) == 1008
    assert closed(service, "policy_violation") > before


def closed(service, reason):
    """How often /metrics says that a WebSocket was closed for it."""
    metrics = service.request("GET", "/metrics").body.decode()
    name = re.escape(f'ticket_websockets_closed_total{{reason="{reason}"}}')
    return sum(float(count) for count in re.findall(f"^{name} (.*)$", metrics, re.MULTILINE))


@pytest.mark.parametrize(("client_of", "code"), [(websocket, 1009), (newcomer, 1008)])
def test_a_flood_of_empty_continuation_frames_is_closed(service, client_of, code):
    with client_of(service.port) as client:
        client.send(frame(b"4", final=False))
        flood = frame(b"", CONTINUATION, final=False) * 10_000
        assert closed_while_served(service, client, flood) == code


def test_a_message_may_have_some_fragments_but_not_many(service):
    text = b'421["leave-event","no event"]'.ljust(MAX_FRAGMENTS + 1)
    for count, answered in ((MAX_FRAGMENTS, True), (MAX_FRAGMENTS + 1, False)):
        parts = [text[at : at + 1] for at in range(count - 1)] + [text[count - 1 :]]
        frames = [
            frame(part, CONTINUATION if number else TEXT, final=number == count)
            for number, part in enumerate(parts[:-1])
        ]
        with websocket(service.port) as client:
            client.send(b"".join(frames) + frame(parts[-1], CONTINUATION))
            if answered:
                client.read_until(rb"431\[")
            else:
                assert client.close_code() == 1009


def test_of_many_pings_the_last_is_answered(service):
    with websocket(service.port) as client:
        client.send(b"".join(frame(b"ping %d" % number, PING) for number in range(9)))
        assert client.read_until(rb"ping 8") == b"\x8a\x06ping 8"


@CLIENTS
def test_an_honest_client_is_not_disturbed(service, client_of):
    """In fragments, with pings in between; more than it might have sent before it signed in."""
    with client_of(service.port) as client:
        if client_of is newcomer:
            client.say("40" + json.dumps({"token": token_for()}))
            client.read_until(rb'40\{"sid"')
        for number in range(NEWCOMER.burst // 2):
            client.send(frame(f'42{number}["leave-'.encode(), final=False))
            client.send(frame(b"still here", PING))
            client.read_until(b"still here")
            client.send(frame(b'event","no event"]', CONTINUATION))
            client.read_until(b"43%d" % number)


# --- Broken ---

BROKEN = {
    "an unmasked frame": (frame(b'42["join-event"]', masked=False), 1002),
    "a reserved opcode": (frame(b"x", 5), 1002),
    "reserved bits": (b"\xf1\x80abcd", 1002),
    "a continuation of nothing": (frame(b"x", CONTINUATION), 1002),
    "a message within a message": (frame(b"x", final=False) + frame(b"x"), 1002),
    "a long control frame": (frame(b"x" * 200, PING), 1002),
    "a fragment of a control frame": (frame(b"x", PING, final=False), 1002),
    "a length in more bytes than it needs": (b"\x81\xfe\x00\x05abcdefghi", 1002),
    "a length with its highest bit": (frame(b"x" * 1000, length=2**63), 1002),
    "a close frame of one byte": (frame(b"x", CLOSE), 1002),
    "a code that nobody may send": (frame(b"\x03\xed", CLOSE), 1002),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000, 1002),
    "text that is not UTF-8": (frame(b"\xff\xfe"), 1007),
    "a reason that is not UTF-8": (frame(b"\x03\xe8\xff\xfe", CLOSE), 1007),
    "a huge declared length": (frame(b"x" * 200_000, length=2**62), 1009),
    "a length beyond the limit": (frame(b"x" * (SIGNED_IN.max_message + 1)), 1009),
    "a packet that we do not know": (frame(b"43"), 1008),
    "an attachment": (frame(b"x", 2), 1008),
}


@CLIENTS
@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_is_told_apart_by_its_code(service, client_of, data, code):
    with client_of(service.port) as client:
        client.send(data)
        assert client.close_code() == code


@CLIENTS
def test_a_goodbye_is_answered(service, client_of):
    with client_of(service.port) as client:
        client.send(frame((4321).to_bytes(2, "big") + b"bye", CLOSE))
        assert client.close_code() == 4321
