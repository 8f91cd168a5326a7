"""WebSockets for Engine.IO, made to send the same few bytes to very many clients.

engineio's own (simple-websocket) needs one more greenlet for each socket, compresses each message
again for each socket, and lets a client that does not read block its sender for ever. Here a frame
is made once for a whole room and written straight to the socket. What the kernel does not take at
once is buffered, with a limit in bytes and in seconds.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any
from wsgiref.types import WSGIEnvironment as Environ

import gevent
from gevent import socket as gevent_socket
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from ticket_service.metrics import WEBSOCKETS_CLOSED
from ticket_service.realtime.budgets import Budget, BudgetSpent

READ_SIZE = 16_384
"""Bytes read at once. A frame of this size is unmasked in 50 microseconds."""

MAX_FRAGMENTS = 100
"""Pieces of one message: its fragments, and the parts in which a frame arrives."""

MAX_DISCARDED_READS = 16
"""Reads with which a closed connection is emptied."""

MAX_UNSENT_BYTES = 1_000_000
"""Bytes buffered for a client that does not read; with more it is dropped."""

SEND_TIMEOUT = 10.0
"""Seconds in which a client must take some of what is buffered for it; else it is dropped."""

KERNEL_BUFFER_BYTES = 128 * 1024
"""The kernel's send buffer for a client. The default grows to megabytes."""

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def text_frame(text: bytes) -> bytes:
    """The frame of a text message from a server: RFC 6455, section 5.2."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + text
    return struct.pack("!BBQ", 0x81, 127, size) + text


class WebSocket:
    """One connection, with the interface that engineio expects: a WSGI application that runs
    `handler`.

    `wait` is for the one greenlet that reads. `send` and `push` never wait.
    """

    def __init__(self, handler: Callable[[WebSocket], object], server: Any, budget: Budget) -> None:
        self._handler = handler
        self._budget = budget
        # A live client sends at least its answer to a ping within this time.
        self._read_timeout = server.ping_interval + server.ping_timeout
        self._connection = Connection(ConnectionType.SERVER)
        self._events = self._receive()
        self._socket: Any = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._open = False

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the handshake and serve until either side closes.

        Then raises StopIteration, by which gunicorn knows not to use the connection again.
        """
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").encode("latin-1")
        if not key:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"Not a WebSocket handshake."]
        self._socket = environ["gunicorn.socket"]
        self._socket.settimeout(self._read_timeout)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        self._open = True
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
        self.push(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._handler(self)
        self.close()
        self._events.close()
        self._discard()
        raise StopIteration

    def wait(self) -> str | bytes | None:
        """The next message, or None when the connection is closed."""
        parts: list[str | bytes] = []
        size = 0
        try:
            for event in self._events:
                if isinstance(event, CloseConnection):
                    self._answer_close(event)
                    return None
                if isinstance(event, Message):
                    parts.append(event.data)
                    size += len(event.data)
                    if size > self._budget.allowance.max_message or len(parts) > MAX_FRAGMENTS:
                        self.close(CloseReason.MESSAGE_TOO_BIG)
                        return None
                    if event.message_finished:
                        return parts[0][:0].join(parts)  # type: ignore[arg-type]
        except BudgetSpent:
            self.close(CloseReason.POLICY_VIOLATION)
        except (OSError, ProtocolError):
            pass
        return None

    def _receive(self) -> Generator[Event, None, None]:
        """Yield the client's frames until the connection ends. Raises OSError and BudgetSpent.

        Other greenlets run before each frame. Each read is counted, and each further frame in it.
        Of pings that follow each other in one read only the last is answered (RFC 6455, section
        5.5.3), before the next piece of a message is handled.
        """
        while received := self._socket.recv(READ_SIZE):
            self._budget.spend()
            self._connection.receive_data(received)
            ping: Ping | None = None
            for number, event in enumerate(self._connection.events()):
                if number:
                    self._budget.spend()
                self._budget.wait_turn()
                if isinstance(event, Ping):
                    ping = event
                elif ping is not None and isinstance(event, Message):
                    self.push(self._connection.send(ping.response()))
                    ping = None
                yield event
            if ping is not None:
                self.push(self._connection.send(ping.response()))

    def _answer_close(self, event: CloseConnection) -> None:
        """Answer a close frame, or close on broken frames: wsproto reports both the same way."""
        if self._connection.state is ConnectionState.OPEN:
            self.close(CloseReason(event.code))
        else:
            self.push(self._connection.send(event.response()))

    def send(self, message: str | bytes) -> None:
        """Send one message, if the connection is open."""
        if isinstance(message, str):
            self.push(text_frame(message.encode()))
        elif self._open:
            self.push(self._connection.send(Message(data=message)))  # never ours: we send text

    def push(self, frame: bytes) -> None:
        """Send bytes as they are, after all earlier ones; buffer what the kernel does not take."""
        if not self._open:
            return
        if self._unsent:
            self._buffer(frame)
            return
        try:
            sent = self._socket.send(frame, 0, 0.0)  # gevent: without waiting
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent < len(frame):
            self._buffer(frame[sent:])
            gevent.spawn(self._flush)

    def close(self, reason: CloseReason = CloseReason.NORMAL_CLOSURE) -> None:
        """Send a close frame and end the connection."""
        if not self._open:
            return
        if reason is not CloseReason.NORMAL_CLOSURE:
            WEBSOCKETS_CLOSED.labels(reason.name.lower()).inc()
        with suppress(ProtocolError):  # the client closed first
            self.push(self._connection.send(CloseConnection(reason)))
        self._drop()

    def _buffer(self, frame: bytes) -> None:
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self._drop_slow_client()

    def _flush(self) -> None:
        """Send what is buffered. A client that takes nothing within SEND_TIMEOUT is dropped."""
        while self._unsent and self._open:
            buffered = b"".join(self._unsent)
            try:
                sent = self._socket.send(buffered, 0, SEND_TIMEOUT)
            except TimeoutError:
                self._drop_slow_client()
                return
            except OSError:
                self._drop()
                return
            # Frames that were pushed meanwhile come after those in `buffered`.
            taken = 0
            while taken < sent:
                frame = self._unsent.pop(0)
                taken += len(frame)
                if taken > sent:
                    self._unsent.insert(0, frame[len(frame) - (taken - sent) :])
            self._unsent_bytes -= sent

    def _drop_slow_client(self) -> None:
        WEBSOCKETS_CLOSED.labels("not_reading").inc()
        self._drop()

    def _drop(self) -> None:
        """End the connection at once, which also ends a `wait`."""
        self._open = False
        self._unsent.clear()
        with suppress(OSError):
            self._socket.shutdown(gevent_socket.SHUT_RDWR)

    def _discard(self) -> None:
        """Read what has arrived. Closing a socket with unread data resets the connection, and the
        client might not get the close frame."""
        with suppress(OSError):
            for _ in range(MAX_DISCARDED_READS):
                if not self._socket.recv(READ_SIZE):
                    return
