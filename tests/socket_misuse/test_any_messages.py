"""Property-based: whatever packets a client sends, it gets the documented answer or is closed, and
nobody else notices.

The same packets every time. To try others, and more:

    SOCKET_EXAMPLES=5000 .venv/bin/python -m pytest -n 0 tests/socket_misuse/test_any_messages.py
"""

import json
import os
from contextlib import suppress
from socket import SHUT_WR
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.factories import Event
from tests.support.misuse import JOINS, check_refusal
from tests.support.polling import Polling
from tests.support.service import Service
from tests.support.websocket import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    Raw,
    frame,
    newcomer,
    websocket,
)

EXAMPLES = os.environ.get("SOCKET_EXAMPLES")

PROPERTY = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NAMES = [*JOINS, "seat-selection-changed"]

CODES = {
    *("VALIDATION_ERROR", "EVENT_NOT_FOUND", "SEAT_NOT_FOUND", "LIMIT_EXCEEDED", "RATE_LIMITED"),
    *("SEAT_SELECTION_UNAVAILABLE",),
}
"""Why a message may be refused while all is well."""

EVENT = "event of the test"
"""Stands for its id, which is not known when the values are made."""

TEXTS = st.text(max_size=40) | st.sampled_from([EVENT, "\0", "__class__", "connect", "disconnect"])

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["eventId", "seats", "version"]) | TEXTS, inner)
    ),
    max_leaves=8,
)

EVENTS = st.tuples(st.sampled_from(NAMES) | TEXTS, st.lists(VALUES, max_size=3))
"""Name and payloads."""

ACK_IDS = st.sampled_from(["", "0", "1", "99", "9" * 30, "-1", "1.5"])

NAMESPACES = st.sampled_from(["", "", "", "/,", "/other,", "/?x=1,", "/\u2028,"])

PACKET_TYPES = st.sampled_from(["2", "2", "2", "0", "1", "3", "4", "51-", "61-", "52-", "7", "a"])

ENGINE_TYPES = st.sampled_from(["4", "4", "4", "4", "0", "1", "2", "3", "5", "6", "b", ""])


@st.composite
def packets(draw: st.DrawFn) -> str:
    """A packet that may be of any type and to anywhere, and is often damaged."""
    name, payloads = draw(EVENTS)
    words = json.dumps([name, *payloads])
    head = draw(ENGINE_TYPES) + draw(PACKET_TYPES) + draw(NAMESPACES) + draw(ACK_IDS)
    text = head + words
    if draw(st.booleans()):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=6)) + text[at + draw(st.integers(0, 6)) :]


CLOSE_CODES = {1000, 1008}
"""Of good frames with bad packets in them."""


def check_answer(frames: list[Frame], number: int) -> None:
    """Fail unless the message was acknowledged once, with success or a documented refusal."""
    start = b"43%d[" % number
    [text] = [text for opcode, text in frames if opcode == TEXT and text.startswith(start)]
    [answer] = json.loads(text[len(start) - 1 :])
    if answer["success"] is not True:
        check_refusal(answer, answer["code"])
        assert answer["code"] in CODES


def said(client: Raw, sent: list[str], event: Event) -> tuple[list[bytes], bool]:
    """Send packets. Return the texts of the answers, and whether the connection is still open."""
    with suppress(ConnectionError):
        for packet in sent:
            client.say(packet.replace(EVENT, event.id))
    frames, is_open = client.frames_until_pong()
    codes = {int.from_bytes(text[:2], "big") for opcode, text in frames if opcode == CLOSE}
    assert codes <= CLOSE_CODES
    return [text for opcode, text in frames if opcode == TEXT], is_open


@pytest.mark.usefixtures("listener")
def test_any_event_is_answered_as_documented(service: Service, event: Event):
    @PROPERTY
    @given(st.lists(EVENTS, min_size=1, max_size=6))
    def check(messages: list[tuple[str, list[Any]]]) -> None:
        sent = [
            f"42{number}{json.dumps([name, *payloads])}"
            for number, (name, payloads) in enumerate(messages, 10)
        ]
        with websocket(service.port) as client:
            texts, is_open = said(client, sent, event)
            assert is_open != bool({"connect", "disconnect"} & {name for name, _ in messages})
            known = [number for number, (name, _) in enumerate(messages, 10) if name in NAMES]
            if is_open:
                for number in known:
                    check_answer([(TEXT, text) for text in texts], number)
                assert sum(text.startswith(b"43") for text in texts) == len(known)

    check()


@pytest.mark.usefixtures("listener")
def test_any_packets_leave_a_connection_that_answers_or_none(service: Service, event: Event):
    @PROPERTY
    @given(st.lists(packets(), min_size=1, max_size=6))
    def check(sent: list[str]) -> None:
        with websocket(service.port) as client:
            _, is_open = said(client, sent, event)
            if is_open and not any(packet.startswith(("40", "41")) for packet in sent):
                texts, _ = said(client, ['4277["leave-event","no event"]'], event)
                check_answer([(TEXT, text) for text in texts], 77)

    check()


@pytest.mark.usefixtures("listener")
def test_any_packets_before_the_token_get_no_answer(service: Service, event: Event):
    @PROPERTY
    @given(st.lists(packets(), min_size=1, max_size=6))
    def check(sent: list[str]) -> None:
        with newcomer(service.port) as client:
            texts, _ = said(client, sent, event)
            assert [text for text in texts if text.startswith((b"42", b"43", b"40"))] == []

    check()


@pytest.mark.usefixtures("listener")
def test_any_bytes_end_the_connection(service: Service, event: Event):
    """As binary messages, and as bytes that are no frames."""

    @PROPERTY
    @given(st.binary(max_size=200), st.booleans())
    def check(data: bytes, is_message: bool) -> None:
        with websocket(service.port) as client:
            client.send(frame(data, BINARY) if is_message else data)
            client.connection.shutdown(SHUT_WR)
            assert client.ended()

    check()


@pytest.mark.usefixtures("listener")
def test_any_body_of_a_polling_client_is_taken_or_refused(service: Service, event: Event):
    @PROPERTY
    @given(st.lists(packets(), max_size=6).map("\x1e".join))
    def check(body: str) -> None:
        polling = Polling(service)
        assert polling.post(body.replace(EVENT, event.id)).status in (200, 400)

    check()
