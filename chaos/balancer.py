"""A load balancer in front of instances that die, freeze and come back."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections import defaultdict
from contextlib import closing, suppress
from threading import Thread
from zlib import crc32

from tests.support.proxy import Address, Proxy

PROBE_SECONDS = 0.2
"""Between two probes of an instance."""

PROBE_TIMEOUT = 2.0

PROBES = 2
"""So many without an answer, one after the other, mean that an instance is gone."""

_NAME = re.compile(rb"(?i)\r\nX-Client: *(\S+)")


class Balancer(Proxy):
    """Keeps a client at its instance while that is ready, and else leads it to another.

    As usual, a draining instance keeps its connections, and those of one that does not answer are
    broken. If no instance is ready, those that answer get requests, so that people see what they
    say; if none does, all.
    """

    def __init__(self) -> None:
        self._states: dict[int, int | None] = {}
        """By port: the status of the last probe; None without an answer."""
        self._connections: defaultdict[int, set[socket.socket]] = defaultdict(set)
        self._turn = 0
        super().__init__(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """Where people send their requests."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, port: int) -> None:
        """Probe the instance at this port from now on."""
        self._states[port] = None
        Thread(target=self._probe, args=(port,), daemon=True).start()

    def remove(self, port: int) -> None:
        """Forget an instance, and break what is left of its connections."""
        self._states.pop(port, None)
        self._break(port)

    def is_ready(self, port: int) -> bool:
        """Whether it gets new connections."""
        return self._states.get(port) == 200

    def route(self, client: socket.socket) -> Address:
        """The instance of this connection. Raises ConnectionRefusedError if there is none."""
        states = self._states.copy()
        ready = sorted(port for port, status in states.items() if status == 200)
        ready = ready or sorted(port for port, status in states.items() if status is not None)
        ready = ready or sorted(states)
        if not ready:
            raise ConnectionRefusedError
        name = _NAME.search(client.recv(16_384, socket.MSG_PEEK))
        self._turn += 1
        # Each client has an order of its own in which it prefers the instances.
        port = (
            max(ready, key=lambda port: crc32(name[1] + b"%d" % port))
            if name
            else ready[self._turn % len(ready)]
        )
        self._connections[port] = {
            known for known in self._connections[port] if known.fileno() != -1
        } | {client}
        return "127.0.0.1", port

    def close(self) -> None:
        """Break every connection, and end all threads."""
        self._states.clear()
        super().close()

    def _probe(self, port: int) -> None:
        failed = 0
        while port in self._states:
            status = _ready(port)
            failed = 0 if status else failed + 1
            if failed == PROBES:
                self._break(port)
            if port in self._states and (status or failed >= PROBES):
                self._states[port] = status
            time.sleep(PROBE_SECONDS)

    def _break(self, port: int) -> None:
        for client in self._connections.pop(port, set()):
            _shut(client)


def _ready(port: int) -> int | None:
    """The status of the readiness probe; None if there is no answer in time."""
    try:
        with closing(
            http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT)
        ) as connection:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None


def _shut(client: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        client.shutdown(socket.SHUT_RDWR)
