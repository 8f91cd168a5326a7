"""A crowd: each request comes on a connection of its own, at a fixed pace, however long answers
take. What comes too late is given up, as people do."""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator

PATIENCE = 10.0
"""Seconds until a request is given up."""

MOST_AT_ONCE = 200
"""Requests that are sent before answers are read."""


class Crowd:
    """The requests under way, and the answers so far. To end, close it."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._epoll = select.epoll()
        self._going: dict[int, tuple[socket.socket, float]] = {}
        self._started: set[int] = set()
        """Those that are not connected yet."""
        self.answers: Counter[tuple[int, str]] = Counter()
        """By status and Retry-After, which is "" if there is none."""
        self.times: dict[int, array[float]] = {}
        """Seconds from connecting to the answer, by status."""
        self.lost = 0
        """Requests without an answer, or that were given up."""

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in list(self._going):
            self._end(descriptor)
        self._epoll.close()

    def at_once(self, count: int, seconds: float) -> None:
        """Have so many under way all the time."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            while len(self._going) < count:
                self._begin()
            self._read()

    def paced(self, rate: float, goes_on: Callable[[], bool]) -> None:
        """Begin so many a second while `goes_on()`, which is asked every tenth of a second."""
        due = checked = time.perf_counter()
        while True:
            now = time.perf_counter()
            if now - checked > 0.1:
                if not goes_on():
                    return
                checked = now
                self._give_up(now)
            due = max(due, now - 1)  # nobody makes up for a stop of this process
            for _ in range(MOST_AT_ONCE):
                if due > now:
                    break
                self._begin()
                due += 1 / rate
            self._read()

    def _begin(self) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self._port))
        descriptor = client.fileno()
        self._going[descriptor] = client, time.perf_counter()
        self._started.add(descriptor)
        self._epoll.register(descriptor, select.EPOLLOUT)

    def _read(self) -> None:
        for descriptor, _ in self._epoll.poll(0.001):
            client, began = self._going[descriptor]
            try:
                if descriptor in self._started:
                    client.send(next(self._requests))
                    self._started.remove(descriptor)
                    self._epoll.modify(descriptor, select.EPOLLIN)
                    continue
                self._count(client.recv(16_384), time.perf_counter() - began)
            except OSError:
                self.lost += 1
            self._end(descriptor)

    def _count(self, answer: bytes, seconds: float) -> None:
        if not answer:
            raise ConnectionError("the server closed the connection")
        status = int(answer[9:12])
        retry_after = answer.partition(b"\r\nRetry-After: ")[2].partition(b"\r\n")[0].decode()
        self.answers[status, retry_after] += 1
        self.times.setdefault(status, array("d")).append(seconds)

    def _give_up(self, now: float) -> None:
        # In the order of their beginnings.
        late = [at for at, (_, began) in self._going.items() if now - began > PATIENCE]
        self.lost += len(late)
        for descriptor in late:
            self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        client, _ = self._going.pop(descriptor)
        self._started.discard(descriptor)
        self._epoll.unregister(descriptor)
        client.close()
