"""Limits for connections while their clients send: bytes, time, and the number of connections.

gunicorn's parser reads through `Incoming`, which knows whether the client is between two requests,
in a head or in a body. Each of these has a time-out, however slowly bytes arrive. `Connections`
knows which connections wait for their clients, and closes those first when places run short.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RD, SHUT_WR
from typing import Any

import gevent
from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

from ticket_service import metrics
from ticket_service.libraries import private_parts
from ticket_service.server.overload import Overload

MAX_CONNECTIONS = 10_000
"""Connections of one instance, if the limit of open files allows so many."""

RESERVED_FILES = 200
"""Open files that are not connections of clients: pools, logs, listeners."""

MIN_CONNECTIONS = 50
"""With fewer places an instance does not start."""

MAX_SOCKETS_SHARE = 0.8
"""Part of the places that WebSockets and long polls may take."""

MAX_TAKEN_SHARE = 0.9
"""Part of the places above which waiting connections are closed to make room for new ones."""

MAX_UNFINISHED = 1_000
"""Connections in the middle of a request. An unfinished head takes 60 kB of memory."""

MAX_HEAD = 16 * 1024
"""Bytes of a request line and all header fields together."""

HEAD_TIMEOUT = 10.0
"""Seconds from the first byte of a request to the end of its head."""

BODY_TIMEOUT = 20.0
"""Seconds from the end of the head to the end of the body."""

CLIENT_TIMEOUT = 10.0
"""Seconds in which a client must send some bytes of its request, or read some of its response."""

LINGER_TIMEOUT = 1.0
"""Seconds that a client has to read its response and close, before we close the connection."""

MAX_DISCARDED = 64 * 1024
"""Bytes of an unread body that are read and discarded, so that the connection can be reused."""

_CHUNK = 8 * 1024
_MAX_CHUNK = 64 * 1024
_BETWEEN_CHUNKS = 1024
"""Bytes to read at once before a chunk of a body, so that tiny chunks, which take 8 µs each to
parse, let other greenlets run."""


class HeadTimeout(ParseException):
    """The head of a request did not arrive in time."""


def raise_file_limit() -> int:
    """Raise the limit of open files of this process and its children as far as needed and allowed.

    Returns how many connections the limit has places for.
    """
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return places()


def places() -> int:
    """Return how many connections the limit of open files has places for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, soft - RESERVED_FILES)


def hang_up(sock: Any, patience: float = 0.0) -> None:
    """Shut down the sending side, and discard what the client still sends, for LINGER_TIMEOUT.

    To close a connection with unread bytes would reset it, perhaps before the client has read the
    response. `patience`: seconds to wait for something to discard.
    """
    deadline = time.monotonic() + LINGER_TIMEOUT
    with suppress(OSError):
        sock.shutdown(SHUT_WR)
        sock.settimeout(patience)
        while sock.recv(_MAX_CHUNK) and (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            gevent.sleep(0)


class RefusedUnread(ParseException):
    """The request is refused unread, since it waited too long."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self.received = received


class Connections:
    """The open connections of this instance, and which of them wait for their clients."""

    def __init__(self, places: int) -> None:
        self._nearly_all = int(places * MAX_TAKEN_SHARE)
        self._open = 0
        # Both are in the order in which the waits began.
        self._idle: dict[Incoming, None] = {}
        self._unfinished: dict[Incoming, None] = {}
        metrics.CONNECTIONS.set_function(lambda: self._open)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count one connection. When nearly all places are taken, close another that waits for its
        client: the one that is idle for longest, or if none is, the one that is silent for longest
        in the middle of a request."""
        self._open += 1
        if self._open > self._nearly_all:
            self._cut_off_first(self._idle or self._unfinished)
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def idle(self, incoming: Incoming) -> Iterator[None]:
        """Wrap the wait for the first byte of a request."""
        self._idle[incoming] = None
        try:
            yield
        finally:
            self._idle.pop(incoming, None)  # unless it was cut off

    @contextmanager
    def unfinished(self, incoming: Incoming) -> Iterator[None]:
        """Wrap the wait for more bytes of a request."""
        self._unfinished[incoming] = None
        if len(self._unfinished) > MAX_UNFINISHED:
            self._cut_off_first(self._unfinished)
        try:
            yield
        finally:
            self._unfinished.pop(incoming, None)  # unless it was cut off

    def close_idle(self) -> None:
        """Close all connections that are between two requests."""
        for incoming in self._idle:
            incoming.cut_off()

    def _cut_off_first(self, waiting: dict[Incoming, None]) -> None:
        if waiting:
            longest = next(iter(waiting))
            del waiting[longest]
            longest.cut_off()
            metrics.CONNECTIONS_CUT_OFF.inc()


class Incoming(SocketUnreader):
    """Reads what a client sends, with a size limit for the head and a time-out for each wait."""

    def __init__(
        self, sock: Any, connections: Connections, overload: Overload, idle_timeout: float
    ) -> None:
        super().__init__(sock)
        self._raw_socket = private_parts.raw_socket(sock)
        self._connections = connections
        self._overload = overload
        self._idle_timeout = idle_timeout
        self._in_head = True
        self._room = MAX_HEAD
        self._deadline = 0.0
        """By time.monotonic(); 0 between two requests."""
        self._cut_off = False

    def begin_head(self) -> None:
        """Note that the next byte is the first of a request. It may be buffered already."""
        buffered = self.buf.getbuffer().nbytes
        self._in_head = True
        self._room = MAX_HEAD - buffered
        self._deadline = time.monotonic() + HEAD_TIMEOUT if buffered else 0.0

    def begin_body(self) -> None:
        """Note that the next byte is the first of a body, if there is one."""
        self._in_head = False
        self._deadline = time.monotonic() + BODY_TIMEOUT

    def cut_off(self) -> None:
        """Make reads end after the bytes that have arrived, also a read that is waiting."""
        self._cut_off = True
        with suppress(OSError):
            # gevent's own shutdown would also fail a wait for bytes that have just arrived.
            self._raw_socket.shutdown(SHUT_RD)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, or none at the end of the connection or of the idle time.

        Raises LimitRequestHeaders, HeadTimeout or RefusedUnread in the head, or TimeoutError in
        the body.
        """
        if not self._in_head:
            return self._receive_body(size_hint or _BETWEEN_CHUNKS)
        if self._room <= 0:
            raise LimitRequestHeaders("the head is too large")
        if not self._deadline:
            data = self._receive_first()
            if data and self._overload.refuses(self._raw_socket, data):
                raise RefusedUnread(data)
            self._deadline = time.monotonic() + HEAD_TIMEOUT
        else:
            try:
                data = self._receive(min(_CHUNK, self._room), HEAD_TIMEOUT)
            except TimeoutError as error:
                raise HeadTimeout from error
        self._room -= len(data)
        return data

    def _receive_first(self) -> bytes:
        self.sock.settimeout(self._idle_timeout)
        with suppress(TimeoutError), self._connections.idle(self):
            data: bytes = self.sock.recv(_CHUNK)
            return data
        return b""

    def _receive_body(self, size: int) -> bytes:
        # Let others run, also if this client sends very many tiny chunks.
        gevent.sleep(0)
        try:
            return self._receive(min(size, _MAX_CHUNK), CLIENT_TIMEOUT)
        finally:
            self.sock.settimeout(CLIENT_TIMEOUT)  # for the response

    def _receive(self, size: int, timeout: float) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(min(left, timeout))
        with self._connections.unfinished(self):
            data: bytes = self.sock.recv(size)
        if not data and self._cut_off:
            raise TimeoutError
        return data


class _Request(Request):
    """gunicorn's request, which tells `Incoming` where its head begins and ends."""

    def parse(self, unreader: Incoming) -> bytes:  # type: ignore[override] # always an Incoming
        """Read and parse the head, and return the bytes after it."""
        self.max_buffer_headers = MAX_HEAD  # bounds the trailers too
        unreader.begin_head()
        rest: bytes = super().parse(unreader)
        unreader.begin_body()
        return rest

    def should_close(self) -> bool:
        """Whether to close the connection, also because a broken body hides the next request."""
        return getattr(self.body, "failed", False) or super().should_close()


class Parser(RequestParser):
    """The requests of one connection."""

    mesg_class = _Request

    def __init__(self, cfg: Any, incoming: Incoming, client: Any) -> None:
        super().__init__(cfg, incoming.sock, client)
        self.unreader = incoming

    def finish_body(  # type: ignore[override] # the stubs say None
        self, deadline: float | None = None, max_bytes: int | None = None
    ) -> bool:
        """Discard the rest of an unread body. Return False if that is too much, too slow or broken:
        its request was answered, so there must not be another answer."""
        try:
            return bool(super().finish_body(deadline, max_bytes or MAX_DISCARDED))
        except ParseException:
            return False
