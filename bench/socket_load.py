"""A room full of raw WebSockets, and messages to it: Engine.IO 4 and Socket.IO 5 by hand.

Like bench/wire.py this must be much cheaper than the server: frames are told apart by their length
alone, and no JSON is read once everyone is in the room.
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

RECEIVE = 16_384
"""Bytes taken at once: many messages."""

QUIET = 1.5
"""Seconds without a message after which nobody waits to be told who else came."""

PING, PONG = b"\x81\x012", "3"


class Listener:
    """A browser's WebSocket, in the room of one event."""

    def __init__(self, port: int, token: str, event_id: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT)
        self.heard = 0
        """Messages of the room so far."""
        self._rest = b""
        self._shake_hands()
        self._expect("0{")
        self._send("40" + json.dumps({"token": token}))
        self._expect('40{"sid"')
        self._send("420" + json.dumps(["join-event", {"eventId": event_id}]))
        self._expect('430[{"success":true')
        self.socket.setblocking(False)

    def receive(self, size: int) -> int:
        """Take what has arrived; how many of it were frames of `size` bytes, as the room's are.

        Raises LoadFailed when the server hung up.
        """
        received = self.socket.recv(RECEIVE)
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
        """Skip what arrives until a message begins so."""
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
        received = self.socket.recv(RECEIVE)
        if not received:
            raise LoadFailed("the server closed a WebSocket")
        self._rest += received

    def _send(self, text: str) -> None:
        """One frame, masked with zeros (RFC 6455, section 5.3)."""
        size = len(text)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self.socket.send(b"\x81" + length + bytes(4) + text.encode())


class Audience:
    """All listeners. To be left with `with`, which closes them."""

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
        """Let everyone be told who else came. Raises LoadFailed."""
        while ready := self._epoll.poll(QUIET):
            for descriptor, _ in ready:
                self._listeners[descriptor].receive(0)

    def start_over(self) -> None:
        """Count messages from 0 again; nothing may be on its way."""
        for listener in self._listeners.values():
            listener.heard = 0

    def listen(self, size: int, heard: Callable[[int, float], None]) -> bool:
        """Take what has arrived, or wait a moment; whether there was something.

        Args:
            size: of the room's frames.
            heard: called with the number of a message, counted from 0, and the time, for each
                listener that got it.

        Raises:
            LoadFailed: the server hung up.
        """
        ready = self._epoll.poll(POLL_TIMEOUT)
        for descriptor, _ in ready:
            listener = self._listeners[descriptor]
            count = listener.receive(size)
            now = time.perf_counter()
            for number in range(listener.heard, listener.heard + count):
                heard(number, now)
            listener.heard += count
        return bool(ready)


class Broadcast:
    """Messages to the room, for a while: evenly paced, or as fast as they are heard."""

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
        """Seconds from publishing to hearing, one for each message and listener."""

    def run(self, begin: float, end: float) -> None:
        """Publish until `end`, measure from `begin`, and see that everyone heard everything.

        Raises LoadFailed.
        """
        self._audience.start_over()

        def heard(number: int, now: float) -> None:
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
            if self._audience.listen(self._size, heard):
                last = now
            elif now - last > ANSWER_TIMEOUT:
                raise LoadFailed("not everyone in the room heard everything")
            while self._complete < len(self._left) and not self._left[self._complete]:
                self._complete += 1

    def _may_publish(self, now: float, due: float) -> bool:
        return now >= due and len(self._sent) - self._complete < self._in_flight


def _end(data: bytes, at: int) -> int:
    """Where the frame that begins there ends; 0 if it is not complete."""
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
