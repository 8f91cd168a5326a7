"""Cheap sockets, for tests that need hundreds of them in their own process. For the behaviour of
browsers there is browser.py."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import socketio

from tests.support.service import Service


class Heard(NamedTuple):
    """An event from the server: its time (by time.monotonic), name and payload."""

    at: float
    name: str
    payload: Any


class Socket:
    """An open socket, which records what it hears."""

    def __init__(self) -> None:
        self.client = socketio.Client(
            reconnection=False, websocket_extra_options={"suppress_origin": True}
        )
        self.client.on("*", self._hear)
        self.heard: list[Heard] = []

    def ask(self, name: str, *payload: Any) -> Any:
        """Send an event, and return its acknowledgement."""
        return self.client.call(name, payload[0] if payload else None, timeout=10)

    def payloads(self, name: str) -> list[Any]:
        """Return the payloads of all events with this name so far."""
        return [heard.payload for heard in self.heard if heard.name == name]

    def times(self, name: str) -> list[float]:
        """Return when each event with this name came."""
        return [heard.at for heard in self.heard if heard.name == name]

    def close(self) -> None:
        """Close the socket. A connection that the server closed must be closed here too."""
        connection = self.client.eio.ws
        self.client.shutdown()
        if connection is not None:
            connection.shutdown()

    def _hear(self, name: str, payload: Any = None, *_: Any) -> None:
        self.heard.append(Heard(time.monotonic(), name, payload))


@contextmanager
def connected(service: Service, token: str) -> Iterator[Socket]:
    """Open a socket until the block ends."""
    socket = Socket()
    try:
        socket.client.connect(
            service.url,
            auth={"token": token},
            transports=["websocket"],
            wait_timeout=10,
        )
        yield socket
    finally:
        socket.close()
