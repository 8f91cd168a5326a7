"""RFC 6455 case by case: what a client sends, and what the server must answer.

The topics are those of the Autobahn test suite, without compression, which is not offered. What is
closed for other reasons is in test_websocket_frames.py.
"""

import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.misuse import troubles
from tests.support.service import Service
from tests.support.websocket import (
    CLOSE,
    CONTINUATION,
    FINAL,
    PING,
    PONG,
    TEXT,
    Frame,
    Raw,
    frame,
    websocket,
)

ASKS = b'427["leave-event","no event"]'
"""An event that is acknowledged."""

ANSWER: Frame = (TEXT, b"437[")
"""How the acknowledgement begins."""


class Case(NamedTuple):
    """What a client sends, and what it gets."""

    sent: list[bytes]
    """Each in a segment of its own."""
    wanted: list[Frame]
    """The server's frames; of a text only the beginning. After a close nothing more may come, and
    otherwise the connection must go on."""


def closed(code: int) -> Frame:
    return CLOSE, code.to_bytes(2, "big")


def says(text: str) -> bytes:
    """A message with this text in it, which is acknowledged."""
    return f'427["leave-event","{text}"]'.encode()


def parts(message: bytes, *sizes: int) -> list[bytes]:
    """A message in fragments of these sizes; the last one has the rest."""
    found, at = [], 0
    for number, size in enumerate(sizes):
        found.append(frame(message[at : at + size], CONTINUATION if number else TEXT, final=False))
        at += size
    return [*found, frame(message[at:], CONTINUATION)]


def header(first: int, opcode: int) -> bytes:
    """A masked frame of two bytes with these bits set in its first byte."""
    whole = frame(b"hi", opcode)
    return bytes([whole[0] | first]) + whole[1:]


LENGTHS = {
    f"a text of {size} bytes": Case([frame(ASKS.ljust(size))], [ANSWER])
    for size in (125, 126, 127, 128, 65_535, 65_536, 99_999)
}

LENGTHS |= {
    "a length in 8 bytes that fits into 1": Case(
        [bytes([FINAL | TEXT, 0xFF]) + (5).to_bytes(8, "big") + b"\0\0\0\0hello"], [closed(1002)]
    ),
    "a length in 8 bytes that fits into 2": Case(
        [bytes([FINAL | TEXT, 0xFF]) + (65_535).to_bytes(8, "big") + b"\0" * 4], [closed(1002)]
    ),
    "a length of 2^63": Case([frame(b"", length=2**63)], [closed(1002)]),
    "a length of 2^64 - 1": Case([frame(b"", length=2**64 - 1)], [closed(1002)]),
    "a length that is too short": Case([frame(b"42[]fghij", length=4)], [closed(1008)]),
}

PINGS = {
    f"a ping of {size} bytes": Case([frame(b"p" * size, PING)], [(PONG, b"p" * size)])
    for size in (0, 1, 125)
}

PINGS |= {
    "a ping of any bytes": Case([frame(b"\x00\xff\xfe\xc0", PING)], [(PONG, b"\x00\xff\xfe\xc0")]),
    "a ping of 126 bytes": Case([frame(b"p" * 126, PING)], [closed(1002)]),
    "a ping byte by byte": Case([bytes([byte]) for byte in frame(b"hi", PING)], [(PONG, b"hi")]),
    "a pong that nobody asked for": Case([frame(b"hi", PONG), frame(ASKS)], [ANSWER]),
    "a pong of 126 bytes": Case([frame(b"p" * 126, PONG)], [closed(1002)]),
    "a ping, a pong and a text at once": Case(
        [frame(b"hi", PING) + frame(b"ho", PONG) + frame(ASKS)], [(PONG, b"hi"), ANSWER]
    ),
}

BITS = {
    f"the bits {bits:#x} of opcode {opcode}": Case([header(bits, opcode)], [closed(1002)])
    for bits in (0x10, 0x20, 0x40, 0x70)
    for opcode in (TEXT, CLOSE, PING)
}

OPCODES = {
    f"the opcode {opcode}": Case([header(0, opcode), frame(ASKS)], [closed(1002)])
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
}

FRAGMENTS = {
    "two fragments": Case(parts(ASKS, 9), [ANSWER]),
    "two fragments at once": Case([b"".join(parts(ASKS, 9))], [ANSWER]),
    "fragments of one byte": Case(parts(ASKS, *[1] * (len(ASKS) - 1)), [ANSWER]),
    "empty fragments around it": Case(parts(ASKS, 0, len(ASKS)), [ANSWER]),
    "an empty fragment in between": Case(parts(ASKS, 9, 0, 3), [ANSWER]),
    "a ping in between": Case(
        [parts(ASKS, 9)[0], frame(b"hi", PING), parts(ASKS, 9)[1]], [(PONG, b"hi"), ANSWER]
    ),
    "a ping in between, at once": Case(
        [parts(ASKS, 9)[0] + frame(b"hi", PING) + parts(ASKS, 9)[1]], [(PONG, b"hi"), ANSWER]
    ),
    "a pong in between": Case([parts(ASKS, 9)[0], frame(b"", PONG), parts(ASKS, 9)[1]], [ANSWER]),
    "a close in between": Case([parts(ASKS, 9)[0], frame(b"\x03\xe8", CLOSE)], [closed(1000)]),
    "a text in between": Case([parts(ASKS, 9)[0], frame(ASKS)], [closed(1002)]),
    "a fragment of a pong": Case([frame(b"", PONG, final=False)], [closed(1002)]),
    "a fragment of a close": Case([frame(b"\x03\xe8", CLOSE, final=False)], [closed(1002)]),
    "a fragment of nothing": Case([frame(b"x", CONTINUATION, final=False)], [closed(1002)]),
    "a continuation after the end": Case(
        [*parts(ASKS, 9), frame(b"x", CONTINUATION)], [ANSWER, closed(1002)]
    ),
    "byte by byte": Case([bytes([byte]) for byte in frame(ASKS)], [ANSWER]),
    "two texts at once": Case([frame(ASKS) * 2], [ANSWER, ANSWER]),
}

MASKS = {
    "a mask of zeros": Case(
        [bytes([FINAL | TEXT, 0x80 | len(ASKS)]) + b"\0\0\0\0" + ASKS], [ANSWER]
    ),
    "a ping without a mask": Case([frame(b"hi", PING, masked=False)], [closed(1002)]),
    "a close without a mask": Case([frame(b"\x03\xe8", CLOSE, masked=False)], [closed(1002)]),
    "a second fragment without a mask": Case(
        [parts(ASKS, 9)[0], frame(ASKS[9:], CONTINUATION, masked=False)], [closed(1002)]
    ),
}

GOOD_TEXTS = [
    *("κόσμε", "좌석", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\uffff"),
    *("\U00010000", "\U0001fffe", "\U0010ffff", "\ufeff"),
]

UTF_8 = {f"the text {text!a}": Case([frame(says(text))], [ANSWER]) for text in GOOD_TEXTS}

UTF_8 |= {
    f"the text {text!a} in fragments of one byte": Case(
        parts(says(text), 19, *[1] * len(text.encode())), [ANSWER]
    )
    for text in ("κόσμε", "좌석", "\U0010ffff")
}

UTF_8 |= {
    f"the bytes {text.hex()}": Case([frame(b'427["leave-event","' + text + b'"]')], [closed(1007)])
    for text in (
        *(b"\x80", b"\xbf", b"\xc2", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3("),  # not whole
        *(b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),  # too long
        *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80"),  # surrogates
        *(b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfb\xbf\xbf\xbf\xbf"),  # too high
        *(b"\xfe", b"\xff"),
    )
}

UTF_8 |= {
    "a text that ends within a letter": Case([frame(ASKS + b"\xe2\x82")], [closed(1007)]),
    "fragments that end within a letter": Case(
        parts(ASKS + b"\xe2\x82", 9, len(ASKS) - 8), [closed(1007)]
    ),
    "a fragment that can become nothing good": Case([frame(b"4\xff", final=False)], [closed(1007)]),
    "half a frame that can become nothing good": Case(
        [frame(b"4\xff", length=1_000)], [closed(1007)]
    ),
}

GOOD_CODES = (1000, 1001, 1002, 1003, *range(1007, 1014), 3000, 3999, 4000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)

CLOSES = {
    f"the code {code}": Case([frame(code.to_bytes(2, "big"), CLOSE)], [closed(code)])
    for code in GOOD_CODES
}

CLOSES |= {
    f"the code {code}": Case([frame(code.to_bytes(2, "big"), CLOSE)], [closed(1002)])
    for code in BAD_CODES
}

CLOSES |= {
    "a close without a code": Case([frame(b"", CLOSE)], [(CLOSE, b"")]),
    "a reason of 123 bytes": Case(
        [frame(b"\x03\xe8" + b"r" * 123, CLOSE)], [(CLOSE, b"\x03\xe8" + b"r" * 123)]
    ),
    "a reason of 124 bytes": Case([frame(b"\x03\xe8" + b"r" * 124, CLOSE)], [closed(1002)]),
    "a ping after the close": Case(
        [frame(b"\x03\xe8", CLOSE) + frame(b"hi", PING)], [closed(1000)]
    ),
    "a text after the close": Case([frame(b"\x03\xe8", CLOSE) + frame(ASKS)], [closed(1000)]),
    "a close after the close": Case([frame(b"\x03\xe8", CLOSE) * 2], [closed(1000)]),
    "garbage after the close": Case([frame(b"\x03\xe8", CLOSE) + b"\xff" * 99], [closed(1000)]),
}

CASES = {
    **LENGTHS,
    **PINGS,
    **BITS,
    **OPCODES,
    **FRAGMENTS,
    **MASKS,
    **UTF_8,
    **CLOSES,
}


@pytest.fixture(scope="module", autouse=True)
def _nothing_unexpected(service: Service) -> Iterator[None]:
    logged = len(service.log_lines())
    yield
    assert troubles(service, logged) == []


def send(client: Raw, segments: list[bytes]) -> None:
    client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for segment in segments:
        client.send(segment)
        if len(segments) > 1:
            time.sleep(0.001)  # so that it is read by itself


def beginnings(frames: list[Frame], wanted: list[Frame]) -> list[Frame]:
    """The frames, and of a text only as much as is wanted."""
    lengths = [len(text) if opcode == TEXT else None for opcode, text in wanted]
    lengths += [None] * len(frames)
    return [
        (opcode, text[:length]) for (opcode, text), length in zip(frames, lengths, strict=False)
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_answer_to(service: Service, case: Case):
    with websocket(service.port) as client:
        send(client, case.sent)
        if case.wanted[-1][0] == CLOSE:
            assert beginnings(client.all_frames(), case.wanted) == case.wanted
        else:
            assert beginnings(client.frames(len(case.wanted)), case.wanted) == case.wanted
            client.send(frame(b"still here", PING))
            assert client.frames(1) == [(PONG, b"still here")]


def test_who_sends_no_more_still_gets_the_answer(service: Service):
    with websocket(service.port) as client:
        client.send(frame(ASKS))
        client.connection.shutdown(socket.SHUT_WR)
        frames = client.all_frames()
        assert beginnings(frames, [ANSWER])[0] == ANSWER
        assert [opcode for opcode, _ in frames] == [TEXT, CLOSE]


@pytest.mark.parametrize("size", [1, 2, 5, 6, len(frame(ASKS)) - 1])
def test_who_ends_within_a_frame_gets_no_answer(service: Service, size: int):
    with websocket(service.port) as client:
        client.send(frame(ASKS)[:size])
        client.connection.shutdown(socket.SHUT_WR)
        assert [opcode for opcode, _ in client.all_frames()] in ([], [CLOSE])
