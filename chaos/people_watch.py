"""Watchers: people who look at the hall over Socket.IO, and keep a picture of it.

Each speaks Socket.IO on a WebSocket without a client library, and does what docs/contract.md
("Catching up") says: it asks for the present state, and every later message changes one entry.
"""

from __future__ import annotations

import json
import time
from typing import Any
from zlib import crc32

from websocket import (
    WebSocket,
    WebSocketException,
    WebSocketTimeoutException,
    create_connection,
)

from chaos.history import Record
from chaos.people_calls import Crowd, Person

CONNECT_TIMEOUT = 5.0
LISTEN_SECONDS = 0.25
RECONNECT_SECONDS = 0.5
SILENCE = 45.0
"""Seconds without a message, not even a ping, after which a connection counts as lost."""

REJOIN_SECONDS = 5.0
"""Between two questions whether something was missed, of those who ask at all."""

HEARD = ("seat-locked", "seat-released")


class Watcher(Person):
    """A person with a socket. `asks`: whether they ask now and then if they missed something."""

    def __init__(self, crowd: Crowd, *, asks: bool) -> None:
        super().__init__(crowd)
        self.event_id = crowd.target.hall.event_id
        self.picture: dict[str, str] = {}
        """The status of each seat that is not available."""
        self._asks = asks
        self._asked_at = 0.0
        self._socket: WebSocket | None = None
        self._joined = False

    def watch(self) -> None:
        """Watch until the process is told to stop, and then write down the picture."""
        while not self.crowd.stopping.is_set():
            try:
                self._connect()
                self._listen()
            except (OSError, WebSocketException, ValueError):
                self._joined = False
                self.crowd.wait(self.chance.uniform(0.5, 1.5) * RECONNECT_SECONDS)
            finally:
                self._note("picture", dict(self.picture), joined=self._joined)
                self._joined = False
                if self._socket is not None:
                    self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _connect(self) -> None:
        """Open a connection and sign in."""
        url = self.crowd.target.url.replace("http", "ws", 1)
        socket = create_connection(
            f"{url}/socket.io/?EIO=4&transport=websocket",
            timeout=CONNECT_TIMEOUT,
            header=[f"X-Client: {self.id}"],
            suppress_origin=True,
        )
        self._socket = socket
        socket.recv()
        socket.send("40" + json.dumps({"token": self.token}))
        if not str(socket.recv()).startswith("40"):
            raise WebSocketException("not accepted")
        socket.settimeout(LISTEN_SECONDS)
        self._join()

    def _join(self) -> None:
        """Ask for the present state."""
        assert self._socket is not None
        question = {"eventId": self.event_id}
        if self._joined:
            question["version"] = self._version()
        self._asked_at = time.time()
        self._socket.send("420" + json.dumps(["join-seat-selection", question]))

    def _listen(self) -> None:
        """Handle what arrives. Raises an error when the connection is lost."""
        assert self._socket is not None
        heard_at = time.time()
        while not self.crowd.stopping.is_set():
            if self._asks and self._joined and time.time() - self._asked_at > REJOIN_SECONDS:
                self._join()
            try:
                text = str(self._socket.recv())
            except WebSocketTimeoutException:
                if time.time() - heard_at > SILENCE:
                    raise
                continue
            heard_at = time.time()
            if not text:
                raise WebSocketException("closed")
            self._hear(text)

    def _hear(self, text: str) -> None:
        assert self._socket is not None
        if text == "2":
            self._socket.send("3")
        elif text.startswith("430"):
            self._hear_state(json.loads(text[3:])[0])
        elif text.startswith("42"):
            name, *payload = json.loads(text[2:])
            if name in HEARD:
                self._hear_change(name, payload[0])

    def _hear_state(self, answer: dict[str, Any]) -> None:
        """The answer to `_join`."""
        record = Record(
            self.id,
            self.crowd.role,
            "join",
            {"event": self.event_id, "again": self._joined},
            self._asked_at,
            time.time(),
            answer=answer,
        )
        self.crowd.writer.write(record)
        if not answer["success"]:
            raise WebSocketException("refused")
        if "seats" in answer:
            self.picture = {seat["seatId"]: seat["status"] for seat in answer["seats"]}
        self._joined = True

    def _hear_change(self, name: str, payload: dict[str, Any]) -> None:
        self._note("heard", payload, name=name)
        if name == "seat-locked":
            self.picture[payload["seatId"]] = payload["status"]
        else:
            self.picture.pop(payload["seatId"], None)

    def _note(self, action: str, payload: dict[str, Any], **extra: Any) -> None:
        now = time.time()
        ask = {"event": self.event_id}
        record = Record(self.id, self.crowd.role, action, ask, now, now, None, payload, extra)
        self.crowd.writer.write(record)

    def _version(self) -> str:
        """The checksum of the picture, as docs/contract.md defines it."""
        version = 0
        for seat_id, status in self.picture.items():
            version ^= crc32(f"{seat_id}:{status}".encode())
        return f"{version:08x}"
