"""A client that waits for each answer, and the record of all answers."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import NamedTuple

TIMEOUT = 30.0
"""Seconds to wait for an answer. It is long: the whole run may be stopped for a while."""

TRIES = 20
"""How often a request is sent that is answered with 503, each time after its Retry-After."""


class Lost(Exception):
    """A request that was not answered. What it did is unknown."""


class Wrong(Exception):
    """An answer with a status that is not expected."""


class Answer(NamedTuple):
    """An answer."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """A header, or "" if there is none."""
        _, _, rest = self.head.partition(f"\r\n{name}: ".encode())
        return rest.partition(b"\r\n")[0].decode()


class Record:
    """Counts what everybody was answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: Counter[int] = Counter()
        """By status."""
        self.wrong: Counter[str] = Counter()
        """Answers that may not be, by what they were to."""
        self.lost = 0
        """Requests without an answer."""
        self.done: Counter[str] = Counter()
        """What people did."""

    def count(self, status: int) -> None:
        """Count one answer."""
        with self._lock:
            self.answers[status] += 1

    def did(self, what: str) -> None:
        """Count something that a person did to its end."""
        with self._lock:
            self.done[what] += 1

    def fault(self, what: str) -> None:
        """Count an answer that may not be."""
        with self._lock:
            self.wrong[what] += 1

    def lose(self) -> None:
        """Count a request without an answer."""
        with self._lock:
            self.lost += 1


class Client:
    """One keep-alive connection, opened when it is needed. For one thread at a time."""

    def __init__(self, port: int, record: Record) -> None:
        self._port = port
        self._record = record
        self._socket: socket.socket | None = None

    def ask(self, name: str, request: bytes, *expected: int) -> Answer:
        """Send a request, and again if it is refused with 503, and return the answer.

        `expected`: the statuses that it may have; 200 if none is given. Raises Lost, or Wrong.
        """
        for _ in range(TRIES):
            answer = self._send(request)
            self._record.count(answer.status)
            wait = answer.header("Retry-After")
            if answer.status != 503 or not wait:
                break
            time.sleep(float(wait))
        if answer.status not in (expected or (200,)):
            self._record.fault(f"{name}: {answer.status}")
            raise Wrong(f"{name}: {answer.status} {answer.body[:300]!r}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, request: bytes) -> Answer:
        try:
            if self._socket is not None and self._closed(self._socket):
                self.close()
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
            self._socket.sendall(request)
            return self._receive(self._socket)
        except OSError as error:
            self.close()
            self._record.lose()
            raise Lost from error

    @staticmethod
    def _closed(connection: socket.socket) -> bool:
        """Whether the server has closed the connection, as it may between two requests."""
        connection.setblocking(False)
        try:
            return not connection.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(TIMEOUT)

    def _receive(self, connection: socket.socket) -> Answer:
        data = b""
        while (end := data.find(b"\r\n\r\n") + 4) < 4:
            data += _some(connection)
        answer = Answer(int(data[9:12]), data[:end], b"")
        length = 0 if answer.status in (204, 304) else int(answer.header("Content-Length") or 0)
        body = bytearray(data[end:])
        while len(body) < length:
            body += _some(connection)
        if answer.header("Connection") == "close":
            self.close()
        return answer._replace(body=bytes(body))


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
