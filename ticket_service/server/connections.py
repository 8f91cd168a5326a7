"""What a connection may take while its client sends: bytes, time, and one of the places.

gunicorn's parser reads through `Incoming`, which knows where in a request the client is: between
two requests, in the head, or in the body. Each of these has an end, however slowly bytes arrive.
`Connections` knows everyone who waits for a client, and closes those first when places run short.
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

MAX_CONNECTIONS = 10_000
"""Connections of one instance, if the limit of open files allows as many."""

RESERVED_FILES = 200
"""Files that are no client's connection: pools, logs, listeners."""

MIN_CONNECTIONS = 50
"""With fewer places an instance is of no use."""

MAX_SOCKETS_SHARE = 0.8
"""Part of the places that WebSockets, and polls that wait, may take."""

MAX_TAKEN_SHARE = 0.9
"""Part of the places that may be taken before connections that wait are closed for new ones."""

MAX_UNFINISHED = 1_000
"""Connections that wait for more of a request. An unfinished head takes 60 kB."""

MAX_HEAD = 16 * 1024
"""Bytes of a request line and all header fields together."""

HEAD_TIMEOUT = 10.0
"""Seconds from the first byte of a request to the end of its head."""

BODY_TIMEOUT = 20.0
"""Seconds from the end of the head to the end of the body."""

CLIENT_TIMEOUT = 10.0
"""Seconds in which a client must send or take some bytes of its request or response."""

LAST_WORD = 1.0
"""Seconds that a client whose connection is closed has to take its answer and hang up."""

MAX_DISCARDED = 64 * 1024
"""Bytes of a body that nobody wanted which are read, to use the connection again."""

_CHUNK = 8 * 1024
_MAX_CHUNK = 64 * 1024
_BETWEEN_CHUNKS = 1024
"""Bytes read at once where a chunk of a body is to begin: tiny ones take 8 µs each to parse."""


class HeadTimeout(ParseException):
    """The head of a request did not arrive in time."""


def raise_file_limit() -> int:
    """Raise the limit of open files of this process and its children as far as it is of use, and
    return how many connections it has places for."""
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return places()


def places() -> int:
    """How many connections the limit of open files has places for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, soft - RESERVED_FILES)


def hang_up(sock: Any, patience: float = 0.0) -> None:
    """Say that nothing more comes, and discard what the client still sends, for LAST_WORD at most.

    Closing with something unread would reset the connection before the answer is read. `patience`:
    seconds to wait for something to discard.
    """
    deadline = time.monotonic() + LAST_WORD
    with suppress(OSError):
        sock.shutdown(SHUT_WR)
        sock.settimeout(patience)
        while sock.recv(_MAX_CHUNK) and (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            gevent.sleep(0)


class Connections:
    """The open connections of this instance, and which of them wait for their client."""

    def __init__(self, places: int) -> None:
        self._nearly_all = int(places * MAX_TAKEN_SHARE)
        self._open = 0
        # Both in the order in which the waiting began.
        self._idle: dict[Incoming, None] = {}
        self._unfinished: dict[Incoming, None] = {}
        metrics.CONNECTIONS.set_function(lambda: self._open)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one connection. When nearly all are taken, one that waits for its client is
        closed for it: the longest idle one, or where none is, the one that was silent for longest
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
        """While this connection waits for the first byte of a request."""
        self._idle[incoming] = None
        try:
            yield
        finally:
            self._idle.pop(incoming, None)  # unless it was cut off

    @contextmanager
    def unfinished(self, incoming: Incoming) -> Iterator[None]:
        """While this connection waits for more of a request."""
        self._unfinished[incoming] = None
        if len(self._unfinished) > MAX_UNFINISHED:
            self._cut_off_first(self._unfinished)
        try:
            yield
        finally:
            self._unfinished.pop(incoming, None)  # unless it was cut off

    def close_idle(self) -> None:
        """Close all that are between two requests."""
        for incoming in self._idle:
            incoming.cut_off()

    def _cut_off_first(self, waiting: dict[Incoming, None]) -> None:
        if waiting:
            longest = next(iter(waiting))
            del waiting[longest]
            longest.cut_off()
            metrics.CONNECTIONS_CUT_OFF.inc()


class Incoming(SocketUnreader):
    """What a client sends, with a limit of bytes for the head and an end to each wait."""

    def __init__(self, sock: Any, connections: Connections, idle_timeout: float) -> None:
        super().__init__(sock)
        self._raw_socket = private_parts.raw_socket(sock)
        self._connections = connections
        self._idle_timeout = idle_timeout
        self._in_head = True
        self._room = MAX_HEAD
        self._deadline = 0.0
        """By time.monotonic(); 0 until a request has begun."""
        self._cut_off = False

    def begin_head(self) -> None:
        """The next byte is the first of a request; it may be here already."""
        here = self.buf.getbuffer().nbytes
        self._in_head = True
        self._room = MAX_HEAD - here
        self._deadline = time.monotonic() + HEAD_TIMEOUT if here else 0.0

    def begin_body(self) -> None:
        """The next byte is the first of a body, or there is none."""
        self._in_head = False
        self._deadline = time.monotonic() + BODY_TIMEOUT

    def cut_off(self) -> None:
        """Close as soon as what has arrived is read; whoever waits for more is woken."""
        self._cut_off = True
        with suppress(OSError):
            # gevent's own shutdown would also fail the wait for bytes that have just arrived.
            self._raw_socket.shutdown(SHUT_RD)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes; none at the end of the connection, or of the time to be idle.

        Raises LimitRequestHeaders or HeadTimeout in the head, TimeoutError in the body.
        """
        if not self._in_head:
            return self._receive_body(size_hint or _BETWEEN_CHUNKS)
        if self._room <= 0:
            raise LimitRequestHeaders("the head is too large")
        if not self._deadline:
            data = self._receive_first()
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
        # A client that sends very many tiny chunks must let the others go first.
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

    def parse(self, unreader: Incoming) -> bytes:  # type: ignore[override] # it is given ours
        """Read and parse the head; what follows it is returned."""
        self.max_buffer_headers = MAX_HEAD  # trailers are bounded by it too
        unreader.begin_head()
        rest: bytes = super().parse(unreader)
        unreader.begin_body()
        return rest

    def should_close(self) -> bool:
        """Whether the next request cannot be found, or is not wanted."""
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
        """Discard what is left of a body that nobody wanted; False when it is too much or slow."""
        return bool(super().finish_body(deadline, max_bytes or MAX_DISCARDED))
