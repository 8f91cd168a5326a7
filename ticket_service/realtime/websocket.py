"""WebSockets for Engine.IO, made for one thing: sending the same few bytes to very many of them.

What engineio has (simple-websocket) runs one greenlet more for each socket, compresses every
message for every socket anew, and lets a client that does not read hold its sender up for ever.
Here a frame is made once for a whole room, goes straight to the kernel, and only what the kernel
does not take at once is kept: for a while, and not without end.
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
"""Bytes read at once: a frame of these is unmasked in 50 microseconds."""

MAX_FRAGMENTS = 100
"""Pieces of one message: fragments, or what arrives of a frame at a time."""

MAX_DISCARDED_READS = 16
"""Reads of what had arrived when a connection ended."""

MAX_UNSENT_BYTES = 1_000_000
"""Bytes kept for a client that does not read; then it is dropped."""

SEND_TIMEOUT = 10.0
"""Seconds in which a client must take something of what is kept for it; then it is dropped."""

KERNEL_BUFFER = 128 * 1024
"""Bytes that the kernel keeps for a client; by itself it would take megabytes."""

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
    """One connection, as engineio wants it: called as a WSGI application, it runs `handler`.

    `wait` is for the one greenlet that reads. `send` and `push` never wait.
    """

    def __init__(self, handler: Callable[[WebSocket], object], server: Any, budget: Budget) -> None:
        self._handler = handler
        self._budget = budget
        # A client that lives answers a ping within this time.
        self._patience = server.ping_interval + server.ping_timeout
        self._connection = Connection(ConnectionType.SERVER)
        self._events = self._receive()
        self._socket: Any = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._open = False

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Shake hands and serve until either side closes. Raises StopIteration then, for gunicorn:
        the connection is not to be used again."""
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").encode("latin-1")
        if not key:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"Not a WebSocket handshake."]
        self._socket = environ["gunicorn.socket"]
        self._socket.settimeout(self._patience)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
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
        """The next message; None when the connection is at its end."""
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
        """What the client sends, to the end of the connection. Others have their turn before each
        frame, and each read and each further frame in it is counted. Of the pings in one read only
        the last is answered: RFC 6455, section 5.5.3. Raises OSError and BudgetSpent."""
        while received := self._socket.recv(READ_SIZE):
            self._budget.spend()
            self._connection.receive_data(received)
            ping: Ping | None = None
            for number, event in enumerate(self._connection.events()):
                if number:
                    self._budget.spend()
                self._budget.wait_turn()
                ping = event if isinstance(event, Ping) else ping
                yield event
            if ping is not None:
                self.push(self._connection.send(ping.response()))

    def _answer_close(self, event: CloseConnection) -> None:
        """Of a client that says goodbye, or whose frames are broken: wsproto tells both alike."""
        if self._connection.state is ConnectionState.OPEN:
            self.close(CloseReason(event.code))
        else:
            self.push(self._connection.send(event.response()))

    def send(self, message: str | bytes) -> None:
        """Send one message of engineio's, if the connection is still there."""
        if isinstance(message, str):
            self.push(text_frame(message.encode()))
        elif self._open:
            self.push(self._connection.send(Message(data=message)))  # nothing of ours is binary

    def push(self, frame: bytes) -> None:
        """Send bytes as they are, after all that was sent before; keep what the kernel refuses."""
        if not self._open:
            return
        if self._unsent:
            self._keep(frame)
            return
        try:
            sent = self._socket.send(frame, 0, 0.0)  # gevent: without waiting
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent < len(frame):
            self._keep(frame[sent:])
            gevent.spawn(self._flush)

    def close(self, reason: CloseReason = CloseReason.NORMAL_CLOSURE) -> None:
        """Say goodbye and end the connection."""
        if not self._open:
            return
        if reason is not CloseReason.NORMAL_CLOSURE:
            WEBSOCKETS_CLOSED.labels(reason.name.lower()).inc()
        with suppress(ProtocolError):  # the client was faster
            self.push(self._connection.send(CloseConnection(reason)))
        self._drop()

    def _keep(self, frame: bytes) -> None:
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self._give_up()

    def _flush(self) -> None:
        """Send what was kept. A client that takes nothing for a while is dropped."""
        while self._unsent and self._open:
            waiting = b"".join(self._unsent)
            try:
                sent = self._socket.send(waiting, 0, SEND_TIMEOUT)
            except TimeoutError:
                self._give_up()
                return
            except OSError:
                self._drop()
                return
            # What was pushed meanwhile stands behind `waiting`.
            taken = 0
            while taken < sent:
                frame = self._unsent.pop(0)
                taken += len(frame)
                if taken > sent:
                    self._unsent.insert(0, frame[len(frame) - (taken - sent) :])
            self._unsent_bytes -= sent

    def _give_up(self) -> None:
        """Drop a client that does not read."""
        WEBSOCKETS_CLOSED.labels("not_reading").inc()
        self._drop()

    def _drop(self) -> None:
        """End the connection at once; whoever waits for a message learns of it."""
        self._open = False
        self._unsent.clear()
        with suppress(OSError):
            self._socket.shutdown(gevent_socket.SHUT_RDWR)

    def _discard(self) -> None:
        """Take what has arrived meanwhile: closing with something unread would reset the
        connection, and the client might not get to read why it was closed."""
        with suppress(OSError):
            for _ in range(MAX_DISCARDED_READS):
                if not self._socket.recv(READ_SIZE):
                    return
