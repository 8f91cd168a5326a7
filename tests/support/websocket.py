"""WebSockets without a library, to send what no correct client would."""

import base64
import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.buyers import token_for

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FINAL = 0x80

Frame = tuple[int, bytes]
"""A frame of the server: opcode and payload."""


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    final: bool = True,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a frame of a client (RFC 6455, section 5.2). `length`: the length that it claims."""
    size = len(payload) if length is None else length
    head = bytes([(FINAL if final else 0) | opcode])
    mark = 0x80 if masked else 0
    if size < 126:
        head += bytes([mark | size])
    elif size < 65_536:
        head += struct.pack("!BH", mark | 126, size)
    else:
        head += struct.pack("!BQ", mark | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def handshake(**headers: str | None) -> bytes:
    """Return the request that opens a WebSocket. None leaves a header out."""
    given = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = ["GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


class Raw:
    """A connection and its bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def say(self, text: str) -> None:
        """Send a text message."""
        self.send(frame(text.encode()))

    def emit(self, *words: object) -> None:
        self.say("42" + json.dumps(words))

    def read_until(self, pattern: bytes) -> bytes:
        """Read until the pattern has arrived. Raises ConnectionError if the connection ends."""
        read = b""
        while not re.search(pattern, read):
            data = self.connection.recv(65_536)
            if not data:
                raise ConnectionError(read)
            read += data
        return read

    def close_code(self) -> int | None:
        """Wait until the server closes the WebSocket, and return its code, or None without one.

        What was read before must have ended with a frame.
        """
        closes = [payload for opcode, payload in self.all_frames() if opcode == CLOSE]
        return int.from_bytes(closes[0][:2], "big") if closes else None

    def all_frames(self) -> list[Frame]:
        """Wait until the server closes the connection, and return all its frames.

        What was read before must have ended with a frame.
        """
        read = b""
        try:
            while data := self.connection.recv(65_536):
                read += data
        except ConnectionError:
            pass
        return _frames(read)

    def frames(self, count: int) -> list[Frame]:
        """Return the server's next frames, at least so many. Raises ConnectionError if it closes.

        What was read before must have ended with a frame.
        """
        read = b""
        while len(found := _frames(read)) < count:
            data = self.connection.recv(65_536)
            if not data:
                raise ConnectionError(read)
            read += data
        return found

    def frames_until_pong(self) -> tuple[list[Frame], bool]:
        """Send a ping. Return the frames before its pong or the end, and whether the pong came."""
        read, pong = b"", (PONG, b"until here")
        with suppress(ConnectionError):
            self.send(frame(b"until here", PING))
            while pong not in _frames(read) and (data := self.connection.recv(65_536)):
                read += data
        found = _frames(read)
        return [one for one in found if one != pong], pong in found

    def ended(self) -> bool:
        """Whether the server closes the connection within the time-out."""
        try:
            while self.connection.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@contextmanager
def raw(port: int, *, receive_buffer: int | None = None) -> Iterator[Raw]:
    """Open a TCP connection, on which every wait lasts 10 s at most."""
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        yield Raw(connection)


@contextmanager
def newcomer(port: int, *, receive_buffer: int | None = None) -> Iterator[Raw]:
    """Open an Engine.IO connection over a WebSocket, which has not signed in."""
    with raw(port, receive_buffer=receive_buffer) as connection:
        connection.send(handshake())
        connection.read_until(rb"101 [\s\S]*\r\n\r\n[\s\S]*\{.*\}")
        yield connection


@contextmanager
def websocket(
    port: int, token: str | None = None, *, receive_buffer: int | None = None
) -> Iterator[Raw]:
    """Open a Socket.IO connection over a WebSocket, which has signed in."""
    with newcomer(port, receive_buffer=receive_buffer) as connection:
        connection.say("40" + json.dumps({"token": token or token_for()}))
        connection.read_until(rb'40\{"sid".*\}')
        yield connection


def _frames(data: bytes) -> list[Frame]:
    """Return the server's frames that are whole in these bytes."""
    found: list[Frame] = []
    at = 0
    while at + 2 <= len(data):
        opcode, size = data[at] & 15, data[at + 1]
        at += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if at + size > len(data):
            break
        found.append((opcode, data[at : at + size]))
        at += size
    return found
