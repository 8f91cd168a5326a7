"""Browsers that write down what they are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.browser import Client, run_browser
from tests.support.service import Service


class Listener:
    """A socket of the browsers' own client, and everything that it heard."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def join(self, kind: str, event_id: str) -> None:
        """Enter a room: `event` or `seat-selection`."""
        answer = self._client.emit(f"join-{kind}", {"eventId": event_id})
        assert answer["success"] is True, answer

    def heard(self, name: str) -> list[dict[str, Any]]:
        """The payloads of all that came under this name."""
        return self._client.payloads(name)


@contextmanager
def listener(service: Service) -> Iterator[Listener]:
    """A socket until the block ends."""
    with run_browser() as browser:
        yield Listener(browser.connect(service.url))
