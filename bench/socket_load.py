"""A room of raw WebSockets, and messages to it: a minimal client of Engine.IO 4 and Socket.IO 5.

Like bench/wire.py this must be much cheaper than the server. So frames are recognised by their
length alone, and no JSON is parsed once everyone is in the room.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterable

from bench.wire import ANSWER_TIMEOUT, POLL_TIMEOUT, LoadFailed

READ_SIZE = 16_384
"""Bytes read at once: many messages."""

QUIET_SECONDS = 1.5
"""Seconds without a message after which everyone has been sent the room's number of people."""

PING, PONG = b"\x81\x012", "3"


class Listener:
    """A browser's WebSocket, in one room of an event: that of the message `join`."""

    def __init__(self, port: int, token: str, event_id: str, join: str = "join-event") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT)
        self.received = 0
        """Messages of the room so far."""
        self._rest = b""
        self._shake_hands()
        self._expect("0{")
        self._send("40" + json.dumps({"token": token}))
        self._expect('40{"sid"')
        self._send("420" + json.dumps([join, {"eventId": event_id}]))
        self._expect('430[{"success":true')
        self.socket.setblocking(False)

    def receive(self, size: int) -> int:
        """Read what has arrived. Returns how many frames of `size` bytes there were, the size of
        the room's messages.

        Raises LoadFailed if the server closed the connection.
        """
        received = self.socket.recv(READ_SIZE)
        if not received:
            raise LoadFailed("the server closed a WebSocket")
        data = self._rest + received
        at = count = 0
        while end := _end(data, at):
            if end - at == size:
                count += 1
            elif data[at:end] == PING:
                self._send(PONG)
            at = end
        self._rest = data[at:]
        return count

    def _shake_hands(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = [
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self.socket.sendall("\r\n".join([*head, "", ""]).encode())
        while (end := self._rest.find(b"\r\n\r\n") + 4) < 4:
            self._read()
        if not self._rest.startswith(b"HTTP/1.1 101 "):
            raise LoadFailed(f"no WebSocket: {self._rest!r}")
        self._rest = self._rest[end:]

    def _expect(self, beginning: str) -> None:
        """Read up to a message that begins with `beginning`, and drop those before it."""
        while True:
            while not (end := _end(self._rest, 0)):
                self._read()
            frame, self._rest = self._rest[:end], self._rest[end:]
            message = frame[2 if end < 128 else 4 :].decode()
            if message.startswith(beginning):
                return
            if message[:2] in ("43", "44", "41"):
                raise LoadFailed(f"a WebSocket is not let in: {message}")

    def _read(self) -> None:
        received = self.socket.recv(READ_SIZE)
        if not received:
            raise LoadFailed("the server closed a WebSocket")
        self._rest += received

    def _send(self, text: str) -> None:
        """Send one text frame, masked with zeros (RFC 6455, section 5.3)."""
        size = len(text)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self.socket.send(b"\x81" + length + bytes(4) + text.encode())


class Audience:
    """All listeners: a context manager, which closes them at the end."""

    def __init__(self, port: int, tokens: Iterable[str], event_id: str) -> None:
        self._epoll = select.epoll()
        self._listeners: dict[int, Listener] = {}
        for token in tokens:
            listener = Listener(port, token, event_id)
            self._listeners[listener.socket.fileno()] = listener
            self._epoll.register(listener.socket, select.EPOLLIN)

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *error: object) -> None:
        self._epoll.close()
        for listener in self._listeners.values():
            listener.socket.close()

    def __len__(self) -> int:
        return len(self._listeners)

    def wait_for_quiet(self) -> None:
        """Wait until the room's number of people was sent to everyone. Raises LoadFailed."""
        while ready := self._epoll.poll(QUIET_SECONDS):
            for descriptor, _ in ready:
                self._listeners[descriptor].receive(0)

    def start_over(self) -> None:
        """Count messages from 0 again. No message may be in flight."""
        for listener in self._listeners.values():
            listener.received = 0

    def listen(self, size: int, on_message: Callable[[int, float], None]) -> bool:
        """Read what has arrived, or wait POLL_TIMEOUT. Returns whether there was something.

        Args:
            size: bytes of the room's frames.
            on_message: called with the number of a message, counted from 0, and the time, for each
                listener that got it.

        Raises:
            LoadFailed: the server closed a connection.
        """
        ready = self._epoll.poll(POLL_TIMEOUT)
        for descriptor, _ in ready:
            listener = self._listeners[descriptor]
            count = listener.receive(size)
            now = time.perf_counter()
            for number in range(listener.received, listener.received + count):
                on_message(number, now)
            listener.received += count
        return bool(ready)


class Broadcast:
    """Publishes messages to the room: at a fixed pace, or as fast as they are received."""

    def __init__(
        self,
        audience: Audience,
        publish: Callable[[], object],
        size: int,
        *,
        in_flight: int,
        pace: float | None = None,
    ) -> None:
        self._audience = audience
        self._publish = publish
        self._size = size
        self._in_flight = in_flight
        self._pace = pace
        self._sent: list[float] = []
        self._left: list[int] = []
        self._complete = 0
        self.delays = array("d")
        """Seconds from publishing to receiving, one for each message and listener."""

    def run(self, begin: float, end: float) -> None:
        """Publish until `end`, measure from `begin` (`time.perf_counter()`), and check that
        everyone received everything.

        Raises LoadFailed.
        """
        self._audience.start_over()

        def on_message(number: int, now: float) -> None:
            self._left[number] -= 1
            if begin <= now < end:
                self.delays.append(now - self._sent[number])

        due = last = time.perf_counter()
        while (now := time.perf_counter()) < end or self._complete < len(self._sent):
            if now < end and self._may_publish(now, due):
                self._sent.append(now)
                self._left.append(len(self._audience))
                self._publish()
                due += 1 / self._pace if self._pace else 0.0
            if self._audience.listen(self._size, on_message):
                last = now
            elif now - last > ANSWER_TIMEOUT:
                raise LoadFailed("not everyone in the room received everything")
            while self._complete < len(self._left) and not self._left[self._complete]:
                self._complete += 1

    def _may_publish(self, now: float, due: float) -> bool:
        return now >= due and len(self._sent) - self._complete < self._in_flight


def _end(data: bytes, at: int) -> int:
    """The end of the frame that begins at `at`; 0 if it is not complete."""
    if len(data) < at + 2:
        return 0
    size = data[at + 1]
    if size < 126:
        end = at + 2 + size
    elif size == 126:
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    else:
        raise LoadFailed("a frame is too large for us")
    return end if end <= len(data) else 0
