"""Refuses what cannot be answered in time, at once, when more is asked than an instance can answer.

Without this, requests wait for one another in the event loop until each of them is too late: an
instance that was asked four times as much as it can answer gave a twentieth of its answers.

The kernel knows how long a request has waited until it was read. If all of very many have waited
for long, the instance is *overloaded*. From then on, requests that have waited for more than a
moment are refused before they are parsed, and the others are answered: so as many are answered as
can be, and each of them soon. Other work that takes long, such as a slow database, makes no request
wait to be read.
"""

from __future__ import annotations

import logging
import re
import struct
import time
from collections.abc import Iterable
from socket import IPPROTO_TCP, MSG_DONTWAIT, MSG_PEEK, TCP_INFO
from typing import Any

import gevent

from ticket_service import metrics
from ticket_service.errors import Overloaded
from ticket_service.http.responses import (
    REQUEST_ID,
    SECURITY_HEADERS,
    cors_headers,
    error_answer,
    new_request_id,
)

LONG_WAIT_MS = 1_000
"""Milliseconds. Requests that wait for so long to be read are answered after some seconds, since
each waits for the others several times."""

MIN_SECONDS, MIN_REQUESTS = 2.0, 600
"""For how long, and how many, must have waited LONG_WAIT_MS without exception. So no burst counts,
nor a stop of the whole machine."""

MOMENT_MS = 10
"""Milliseconds that a request may wait while the instance is overloaded."""

EACH_TURN = 8
"""Requests that are answered in each turn of the event loop however long they have waited, so that
there is always work while somebody waits."""

CALM_SECONDS = 2.0
"""Seconds without a refusal after which the instance is not overloaded any more."""

TELL_INTERVAL = 1.0
"""Seconds between two log lines about it."""

EXEMPT = (b"/health", b"/metrics", b"/api/v1/internal/", b"/internal/")
"""How the paths begin that are never refused: those of probes, and of other services, which report
what people have paid."""

EACH_ACCEPT = 200
"""Connections that are turned away at most before other things get their turn."""

_PEEKED_BYTES, _MOST_BYTES = 256, 16 * 1024
"""How much of a request is looked at, and how much is read of one that is refused."""

_INFO = struct.Struct("52xI")
"""The beginning of Linux' `struct tcp_info`, up to `tcpi_last_data_recv`."""

_NO_ID = b"0" * 32

_ORIGIN = re.compile(rb"\r\norigin: *([^\r\n]*)", re.IGNORECASE)

log = logging.getLogger(__name__)


class Overload:
    """Whether an instance is overloaded, and what it answers then."""

    def __init__(self) -> None:
        self.present = False
        """Whether the instance is overloaded."""
        self._answers = {b"": _answer("")}
        self._turn = -1
        self._left_in_turn = 0
        self._turn_is_full = False
        self._let_in: set[int] = set()
        """File descriptors of connections that were just accepted, and whose first request is not
        to be judged again."""
        self._long_since = 0.0
        self._long_waits = 0
        self._refused_at = 0.0
        self._refused = 0

    def allow(self, origins: Iterable[str]) -> None:
        """Let the pages of these origins read the refusals."""
        self._answers |= {origin.encode(): _answer(origin) for origin in origins}

    def refuses(self, raw_socket: Any, head: bytes) -> bool:
        """Whether to refuse the request that begins with `head` and was just read from there."""
        waited_ms = _waited_ms(raw_socket)
        if not self.present:
            if waited_ms < LONG_WAIT_MS:
                self._long_waits = 0
            else:
                self._note_long_wait()
            return False
        if (descriptor := raw_socket.fileno()) in self._let_in:
            self._let_in.remove(descriptor)
            return False
        is_fresh, has_turn = waited_ms <= MOMENT_MS, self._has_turn()
        self._turn_is_full = is_fresh and not has_turn
        if is_fresh or has_turn or _is_exempt(head):
            return False
        self._note_refusal()
        return True

    def turns_away(self, raw_socket: Any) -> bool:
        """Refuse the first request of a connection that was just accepted, if it is there and has
        waited for too long. Returns whether it did.

        That takes a fifth of the time that a connection takes whose request is read as usual.
        """
        try:
            head = raw_socket.recv(_PEEKED_BYTES, MSG_PEEK | MSG_DONTWAIT)
            if not head:
                return False  # the client is gone
            if not self.refuses(raw_socket, head):
                self._let_in.add(raw_socket.fileno())
                return False
            received = raw_socket.recv(_MOST_BYTES, MSG_DONTWAIT)
            raw_socket.send(self.answer(received))
        except OSError:
            return False  # nothing is there yet
        return True

    def answer(self, received: bytes) -> bytes:
        """The refusal of a request."""
        origin = _ORIGIN.search(received)
        answer = self._answers.get(origin[1] if origin else b"", self._answers[b""])
        return answer.replace(_NO_ID, new_request_id().encode())

    def turn_is_full(self) -> bool:
        """Whether enough were let in in this turn of the event loop, and whoever else waits has
        not waited for too long yet."""
        return self._turn_is_full and self._turn == gevent.get_hub().loop.iteration

    def _has_turn(self) -> bool:
        """Whether this is one of the first in this turn of the event loop."""
        turn = gevent.get_hub().loop.iteration
        if turn != self._turn:
            self._turn, self._left_in_turn = turn, EACH_TURN
        self._left_in_turn -= 1
        return self._left_in_turn >= 0

    def _note_long_wait(self) -> None:
        now = time.monotonic()
        if not self._long_waits:
            self._long_since = now
        self._long_waits += 1
        if self._long_waits >= MIN_REQUESTS and now - self._long_since >= MIN_SECONDS:
            self.present, self._long_waits, self._refused_at = True, 0, now
            gevent.spawn(self._watch)

    def _note_refusal(self) -> None:
        self._refused += 1
        self._refused_at = time.monotonic()
        metrics.REQUESTS_SHED.inc()

    def _watch(self) -> None:
        """Tell about the refusals, until there are none any more."""
        while time.monotonic() - self._refused_at < CALM_SECONDS:
            log.warning("overloaded", extra={"refused": self._refused})
            self._refused = 0
            gevent.sleep(TELL_INTERVAL)
        self.present = False
        self._let_in.clear()
        log.info("not overloaded any more")


def _waited_ms(raw_socket: Any) -> int:
    """Milliseconds since the last bytes from this client have arrived in the kernel."""
    info = raw_socket.getsockopt(IPPROTO_TCP, TCP_INFO, _INFO.size)
    [waited_ms] = _INFO.unpack(info)
    return int(waited_ms)


def _is_exempt(head: bytes) -> bool:
    """Whether a request must not be refused: see EXEMPT. Nor may one of a Socket.IO session that
    exists, as its client would then open a new one, which takes longer."""
    target = head.partition(b"\r\n")[0].partition(b" ")[2]
    return target.startswith(EXEMPT) or (target.startswith(b"/socket.io/") and b"sid=" in target)


def _answer(origin: str) -> bytes:
    """The refusal for pages of this origin, or for all others if it is "", with _NO_ID."""
    request_id = _NO_ID.decode()
    refusal = error_answer(Overloaded(), {REQUEST_ID: request_id})
    headers = [*refusal.headers, ("X-Request-ID", request_id), ("Connection", "close")]
    headers += SECURITY_HEADERS
    headers += cors_headers(origin) if origin else []
    lines = ["HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + refusal.body
