"""Browsers that write down what they are told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import socketio

from tests.support.buyers import token_for
from tests.support.service import Service


class Listener:
    """A socket, and everything that it heard: `(name, payload)`, in order."""

    def __init__(self, service: Service) -> None:
        self._client = socketio.Client(
            reconnection=False, websocket_extra_options={"suppress_origin": True}
        )
        self._lock = threading.Lock()
        self._heard: list[tuple[str, dict[str, Any]]] = []
        self._client.on("*", self._hear)
        self._client.connect(service.url, auth={"token": token_for()}, transports=["websocket"])

    def join(self, kind: str, event_id: str) -> None:
        """Enter a room: `event` or `seat-selection`."""
        answer = self._client.call(f"join-{kind}", {"eventId": event_id}, timeout=10)
        assert answer["success"] is True, answer

    def heard(self, name: str) -> list[dict[str, Any]]:
        """The payloads of all that came under this name."""
        with self._lock:
            return [payload for said, payload in self._heard if said == name]

    def close(self) -> None:
        self._client.disconnect()

    def _hear(self, name: str, payload: dict[str, Any]) -> None:
        with self._lock:
            self._heard.append((name, payload))


@contextmanager
def listener(service: Service) -> Iterator[Listener]:
    """A socket until the block ends."""
    made = Listener(service)
    try:
        yield made
    finally:
        made.close()
