"""Pages with a WebSocket that come and go: in a hall, and in a line in front of an event.

The same people come again and again, since Redis keeps a person's session for an hour.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import websocket

from bench.data import Item
from bench.rows import bearer, hold_ticket, post_request
from dev.make_token import make_token
from soak.buyers import EXPIRED, with_key
from soak.client import Client, Lost, Record, Wrong

STAY = (10.0, 50.0)
"""Seconds that a page stays open: at least, at most."""

CHOOSING = (1.0, 5.0)
"""Seconds that a person who was let in takes to choose."""

OUTSIDE = 403
"""The answer to those who took too long to choose."""

PEOPLE_EACH = 4
"""Different people whose pages one thread opens in turn."""

TIMEOUT = 30.0
"""Seconds to wait for an answer."""

Visit = Callable[[str], None]
"""What the person with this token does on a page."""


class Pages:
    """Threads that each open a page, close it and open the next one."""

    def __init__(self, port: int, record: Record, jwt_secret: str, end: float) -> None:
        """`end`: by `time.monotonic()`."""
        self._port = port
        self._record = record
        self._jwt_secret = jwt_secret
        self._end = end
        self._threads: list[threading.Thread] = []

    def watch(self, event_id: str, count: int) -> None:
        """Have so many pages open in the hall of this event."""
        self._start(count, lambda token: self._look(event_id, token))

    def line_up(self, ticket_type: Item, count: int) -> None:
        """Have so many pages open in the line for this ticket type."""
        self._start(count, lambda token: self._wait(ticket_type, token))

    def join(self) -> None:
        """Wait until all are closed."""
        for thread in self._threads:
            thread.join()

    def _start(self, count: int, visit: Visit) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._come_and_go, args=(visit,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _come_and_go(self, visit: Visit) -> None:
        people = [
            make_token(str(uuid.uuid4()), "user", self._jwt_secret) for _ in range(PEOPLE_EACH)
        ]
        time.sleep(random.uniform(0, STAY[1]))
        while time.monotonic() < self._end:
            try:
                visit(random.choice(people))
            except (OSError, websocket.WebSocketException):
                self._record.lose()
                time.sleep(1)
            except (Lost, Wrong):
                pass  # they are counted

    def _look(self, event_id: str, token: str) -> None:
        """Look at a hall, and hear every seat that changes."""
        with self._page(token) as page:
            _call(page, "join-event", event_id)
            _call(page, "join-seat-selection", event_id)
            _listen(page, self._until())
        self._record.did("looked at a hall")

    def _wait(self, ticket_type: Item, token: str) -> None:
        """Stand in line. Whoever is let in holds a ticket and cancels; others leave, or just go."""
        with self._page(token) as page:
            place = _call(page, "join-queue", ticket_type.event_id)
            until = self._until()
            inside = place.get("status") == "active" or _listen(page, until, "queue-entry-allowed")
            if inside:
                self._hold_and_cancel(ticket_type, token)
            elif random.random() < 0.5:
                _call(page, "leave-queue", ticket_type.event_id)
        self._record.did("came through the line" if inside else "left the line")

    def _hold_and_cancel(self, ticket_type: Item, token: str) -> None:
        client = Client(self._port, self._record)
        time.sleep(random.uniform(*CHOOSING))
        try:
            take = with_key(hold_ticket(ticket_type, token))
            held = client.ask("hold after the line", take, 200, 201, OUTSIDE)
            if held.status != OUTSIDE:
                path = f"/api/v1/reservations/{json.loads(held.body)['reservation']['id']}/cancel"
                cancel = post_request(path, {}, bearer(token))
                client.ask("cancel after the line", cancel, 200, EXPIRED)
        finally:
            client.close()

    @contextmanager
    def _page(self, token: str) -> Iterator[websocket.WebSocket]:
        """A signed-in connection."""
        url = f"ws://127.0.0.1:{self._port}/socket.io/?EIO=4&transport=websocket"
        page = websocket.create_connection(url, timeout=TIMEOUT)
        try:
            page.send("40" + json.dumps({"token": token}))
            _expect(page, "40")
            yield page
        finally:
            page.close()

    def _until(self) -> float:
        return min(self._end, time.monotonic() + random.uniform(*STAY))


def _call(page: websocket.WebSocket, name: str, event_id: str) -> dict[str, Any]:
    """Send an event, and return what is acknowledged. Raises WebSocketException if refused."""
    page.send("420" + json.dumps([name, {"eventId": event_id}]))
    [answer] = json.loads(_expect(page, "430").removeprefix("430"))
    if not answer.get("success"):
        raise websocket.WebSocketException(f"{name}: {answer}")
    found: dict[str, Any] = answer
    return found


def _expect(page: websocket.WebSocket, beginning: str) -> str:
    """The next message that begins so."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = _next(page)
        if message.startswith(beginning):
            return message
        if message.startswith("44"):
            raise websocket.WebSocketException(f"not let in: {message}")
    raise TimeoutError(f"no {beginning}")


def _listen(page: websocket.WebSocket, until: float, name: str | None = None) -> bool:
    """Hear what comes until then, or until this event comes. Returns whether it did."""
    while (left := until - time.monotonic()) > 0:
        page.settimeout(left)
        try:
            message = _next(page)
        except websocket.WebSocketTimeoutException:
            break
        if name is not None and message.startswith(f'42["{name}"'):
            page.settimeout(TIMEOUT)
            return True
    page.settimeout(TIMEOUT)
    return False


def _next(page: websocket.WebSocket) -> str:
    """The next message. Answers a ping of Engine.IO."""
    message = str(page.recv())
    if message == "2":
        page.send("3")
    return message
