"""Canaries: one request of every kind, which must succeed when all is well."""

from __future__ import annotations

import json
import time
from contextlib import closing
from itertools import cycle
from typing import Any
from uuid import uuid4

import socketio
import urllib3

from chaos.scene import Scene
from tests.support.buyers import token_for

TIMEOUT = 11.0
"""Seconds. An answer comes within 10 s (docs/contract.md, "Time")."""

TOKEN_AGE = 300
"""Seconds since a canary's token was made, so that a clock that is behind accepts it."""


class Sick(Exception):
    """A canary did not succeed. The message says which and why."""


class Canary:
    """A person who tries everything at one instance, or at the load balancer."""

    def __init__(self, scene: Scene, url: str, seat_ids: list[str]) -> None:
        """`seat_ids`: seats of the canaries' event that no other canary wants."""
        self._url = url
        self._event = scene.canary
        self._internal = {"X-Internal-Token": scene.internal_token}
        self._token = token_for(iat=int(time.time()) - TOKEN_AGE)
        # One after the other: a seat may be held for a while when an answer was lost.
        self._seats = cycle(seat_ids)

    def try_all(self) -> None:
        """Try everything once. Raises Sick."""
        with closing(_Caller(self._url, self._token)) as caller:
            ready = caller.ask("GET", "/health/ready")
            if ready["status"] != "ok":
                late = [loop["name"] for loop in ready["loops"] if loop["late"]]
                raise Sick(f"ready: redis {ready['redis']}, late loops: {late}")
            event_id = self._event.id
            caller.ask("GET", f"/api/v1/events/{event_id}")
            caller.ask("GET", f"/api/v1/seats/events/{event_id}")
            caller.ask("POST", f"/api/v1/queue/check/{event_id}")
            order: dict[str, object] = {"eventId": event_id, "seatIds": [next(self._seats)]}
            held = caller.ask("POST", "/api/v1/seats/reserve", order, 201)["reservation"]["id"]
            caller.ask("POST", f"/api/v1/reservations/{held}/cancel")
            items = [{"ticketTypeId": self._event.ticket_type_ids[0], "quantity": 1}]
            order = {"eventId": event_id, "items": items}
            held = caller.ask("POST", "/api/v1/reservations", order, 201)["reservation"]["id"]
            payment = {"status": "completed", "paymentMethod": "card", "paymentId": str(uuid4())}
            path = f"/api/v1/internal/reservations/{held}/payment"
            caller.ask("POST", path, payment, headers=self._internal)
            caller.ask("GET", f"/api/v1/reservations/{held}")
            caller.ask("POST", f"/api/v1/reservations/{held}/cancel")
        self._try_socket()

    def _try_socket(self) -> None:
        client = socketio.SimpleClient(
            reconnection=False, websocket_extra_options={"suppress_origin": True}
        )
        try:
            client.connect(
                self._url,
                auth={"token": self._token},
                transports=["websocket"],
                wait_timeout=int(TIMEOUT),
            )
            answer = client.call("join-seat-selection", self._event.id, timeout=TIMEOUT)
        except (socketio.exceptions.SocketIOError, OSError) as error:
            raise Sick(f"socket: {error!r}") from error
        finally:
            client.disconnect()
        if not answer["success"]:
            raise Sick(f"socket: {answer}")


class _Caller:
    """One connection."""

    def __init__(self, url: str, token: str) -> None:
        self._pool = urllib3.connectionpool.connection_from_url(
            url, maxsize=1, timeout=TIMEOUT, retries=False
        )
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The body of the answer. Raises Sick unless it has this status."""
        sent = json.dumps(body).encode() if body is not None else None
        try:
            answer = self._pool.request(
                method, path, body=sent, headers=self._headers | (headers or {})
            )
        except urllib3.exceptions.HTTPError as error:
            raise Sick(f"{method} {path}: {error!r}") from error
        if answer.status != status:
            raise Sick(f"{method} {path}: {answer.status} {answer.data[:300]!r}")
        return json.loads(answer.data)

    def close(self) -> None:
        self._pool.close()
