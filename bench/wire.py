"""An HTTP client on raw sockets, fast enough that one core can load a server.

A request costs a few microseconds of Python: requests are bytes that were built before, only the
status and the length of an answer are parsed, and bodies are discarded inside the kernel.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

ANSWER_TIMEOUT = 10.0
"""Seconds without a byte on any connection after which the server counts as hanging."""

POLL_TIMEOUT = 0.005
"""Seconds after which the loop checks the clock when no answer comes."""

FIRST_READ_BYTES = 16_384
"""Bytes of the first read of an answer: a small one as a whole, or the head of a large one."""

NO_BODY = (204, 304)

# The buffer to give to recv_into with MSG_TRUNC, which writes nothing to it.
_NOWHERE = bytearray(1 << 20)


class LoadFailed(Exception):
    """The load could not be generated; the message says why. The run has no result."""


class Connection:
    """A keep-alive connection to a port of this machine, for one request at a time."""

    def __init__(self, port: int, on_answer: Callable[[Connection, int], None]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.busy = False
        self.sent_at = 0.0
        self.body: bytearray | None = None
        self.head = b""
        """The status line and the headers of the last answer."""
        self._on_answer = on_answer
        self._head = b""
        self._status = 0
        self._left = 0

    def send(self, request: bytes, now: float, *, keep: bool = False) -> None:
        """Send a request; `on_answer` is called with the status of its answer.

        Args:
            now: `time.perf_counter()`.
            keep: whether the body of the answer is wanted in `body`.
        """
        self.busy = True
        self.sent_at = now
        self.body = bytearray() if keep else None
        if self.socket.send(request) != len(request):
            raise LoadFailed("a request does not fit into the socket's buffer")

    def header(self, name: bytes) -> str:
        """A header of the last answer. Raises LoadFailed if there is none."""
        value = _header(self.head, name)
        if value is None:
            raise LoadFailed(f"an answer without {name.decode()}: {self.head!r}")
        return value.decode()

    def receive(self) -> None:
        """Read what has arrived. Raises LoadFailed if the server closed the connection."""
        if self._left:
            self._receive_body()
        else:
            self._receive_head()
        if not self._head and not self._left:
            self.busy = False
            self._on_answer(self, self._status)

    def _receive_head(self) -> None:
        received = self.socket.recv(FIRST_READ_BYTES)
        if not received:
            raise LoadFailed("the server closed a connection")
        data = self._head + received
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._head = data
            return
        self._head = b""
        self._status = int(data[9:12])
        self.head = data[:end]
        self._left = 0 if self._status in NO_BODY else _length(self.head) - (len(data) - end)
        if self.body is not None:
            self.body += data[end:]

    def _receive_body(self) -> None:
        if self.body is None:
            length = min(self._left, len(_NOWHERE))
            received = self.socket.recv_into(_NOWHERE, length, socket.MSG_TRUNC)
        else:
            data = self.socket.recv(self._left)
            self.body += data
            received = len(data)
        if not received:
            raise LoadFailed("the server closed a connection")
        self._left -= received


class Loop:
    """Waits for the answers of all connections at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *error: object) -> None:
        self._epoll.close()
        for connection in self._connections.values():
            connection.socket.close()

    def open(self, port: int, on_answer: Callable[[Connection, int], None]) -> Connection:
        """A new connection, closed with the loop."""
        connection = Connection(port, on_answer)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, select.EPOLLIN)
        return connection

    def run(self, tick: Callable[[float], bool]) -> None:
        """Read answers until `tick` returns False and the last answer has arrived.

        Args:
            tick: called with `time.perf_counter()` before each wait; whether to go on.

        Raises:
            LoadFailed: the server closed a connection, or sent nothing for ANSWER_TIMEOUT.
        """
        connections = self._connections
        received_at = time.perf_counter()
        while tick(now := time.perf_counter()) or any(c.busy for c in connections.values()):
            ready = self._epoll.poll(POLL_TIMEOUT)
            if ready:
                received_at = now
            elif now - received_at > ANSWER_TIMEOUT:
                raise LoadFailed(f"no answer for {ANSWER_TIMEOUT:.0f} seconds")
            for descriptor, _ in ready:
                connections[descriptor].receive()


def _length(head: bytes) -> int:
    value = _header(head, b"Content-Length")
    if value is None:
        raise LoadFailed(f"an answer without Content-Length: {head!r}")
    return int(value)


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(b"\r\n" + name + b": ")
    if at < 0:
        return None
    begin = at + len(name) + 4
    return head[begin : head.index(b"\r\n", begin)]
