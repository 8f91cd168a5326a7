"""Frames and packets that nobody should send: they harm nobody."""

from contextlib import suppress

import pytest

from tests.support.misuse import troubles
from tests.support.websocket import BINARY, frame, newcomer, websocket
from ticket_service.realtime.budgets import SIGNED_IN

BROKEN = {
    "an unmasked frame": frame(b'42["join-event"]', masked=False),
    "a huge declared length": frame(b"x" * 200_000, length=2**62),
    "a length beyond the limit": frame(b"x" * (SIGNED_IN.max_message + 1)),
    "fragments beyond the limit": frame(b"x" * 60_000, final=False) + frame(b"x" * 60_000, 0),
    "a reserved opcode": frame(b"x", 5),
    "reserved bits": b"\xf1\x80abcd",
    "a continuation of nothing": frame(b"x", 0),
    "text that is not UTF-8": frame(b"\xff\xfe"),
    "a long control frame": frame(b"x" * 200, 9),
    "garbage": bytes(range(256)) * 4,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
}


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_ends_the_connection(service, data):
    with websocket(service.port) as client:
        client.send(data)
        assert client.ended()


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_before_the_token_ends_the_connection(service, data):
    with newcomer(service.port) as client:
        client.send(data)
        assert client.ended()


PACKETS = [
    "",
    "4",
    "42",
    "42[",
    "42{}",
    "42[]",
    "42[1]",
    "42[null]",
    "42[{}]",
    '42["join-event",',
    '42/other,["join-event"]',
    '4299999999999999999999["join-event"]',
    "43",
    "431[]",
    "44",
    "45",
    '451-["join-event",{"_placeholder":true,"num":7}]',
    '459999999-["join-event"]',
    "46",
    "47",
    "49",
    "4x",
    "40",
    "40{",
    "40[]",
    '40{"token":1}',
    "40/other",
    "41/other",
    "0",
    "5",
    "6",
    "7",
    "9",
    "x",
    "3probe",
    "3" * 1000,
    '42["join-event",' + "[" * 2000 + "]" * 2000 + "]",
    '42["join-event",' + "9" * 5000 + "]",
    '42["join-event",{"eventId":"\\ud800"}]',
    '42["connect"]',
    '42["disconnect"]',
    '42["connect",{"token":"x"}]',
    '42["disconnect",1,2,3]',
    "b",
    "bAAAA",
    "b!",
]


@pytest.mark.usefixtures("listener")
def test_a_broken_packet_harms_nobody(service, event):
    """It is ignored, or ends the connection."""
    found = {}
    for packet in PACKETS:
        logged = len(service.log_lines())
        with websocket(service.port) as client:
            client.say(packet)
            with suppress(ConnectionError):
                client.say('421["join-event","' + event.id + '"]')
                client.read_until(rb"431\[|44")
        with newcomer(service.port) as client:
            client.say(packet)
            with suppress(ConnectionError):
                client.say("40{}")
                client.read_until(rb"44")
        if trouble := troubles(service, logged):
            found[packet[:40]] = [str(line)[-300:] for line in trouble]
    assert found == {}


@pytest.mark.usefixtures("listener")
def test_binary_messages_harm_nobody(service, event):
    for data in (b"", b"\x00", b"4", b'42["join-event"]', bytes(1000)):
        with websocket(service.port) as client:
            client.send(frame(data, BINARY))
            with suppress(ConnectionError):
                client.say('421["join-event","' + event.id + '"]')
                client.read_until(rb"431\[")


@pytest.mark.usefixtures("listener")
def test_attachments_end_the_connection(browser, service):
    """A binary event says how many attachments follow; a client could have us collect them."""
    client = browser.connect(service.url, reconnection=False)
    client.send("join-event", {"binary": "00ff"})
    client.wait("#disconnect")
    with websocket(service.port) as announces:
        announces.say('451000000-["join-event",{"_placeholder":true,"num":0}]')
        assert announces.ended()
