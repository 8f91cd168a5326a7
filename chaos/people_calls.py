"""One person: their token, their calls over HTTP, and the record of each.

The actions in the history, and what `ask` has beside the person:

    hold       event, key, and seats (ids) or items (ticketTypeId, quantity)
    cancel     reservation
    pay        reservation, payment, status: as the Payment Service reports it
    read       reservation
    stock      event
    check, status, heartbeat, leave      event
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jwt

from chaos.history import Record, Writer
from chaos.target import Target

ANSWER_TIMEOUT = 12.0
"""Seconds that a person waits for an answer; the service promises one within ten."""

TOKEN_AGE = 300
"""Seconds since a token was made: an instance whose clock is behind refuses newer ones."""

TOKEN_SECONDS = 24 * 3600

TRIES = 30
"""How often a person repeats a request whose answer was lost, before they give up."""


class Crowd:
    """What the people of one process share."""

    def __init__(self, target: Target, role: str, writer: Writer, seed: int) -> None:
        self.target = target
        self.role = role
        self.writer = writer
        self.chance = random.Random(seed)
        self.stopping = Event()
        self.secret = Path(target.jwt_secret_file).read_text().strip()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the process is told to stop."""
        self.stopping.wait(seconds)

    def new_id(self) -> str:
        """A new UUID, the same one in a run with the same seed."""
        return str(UUID(int=self.chance.getrandbits(128), version=4))


class Person:
    """A person with an id of their own and one connection."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.id = crowd.new_id()
        self.chance = random.Random(crowd.chance.random())
        now = int(time.time()) - TOKEN_AGE
        claims = {
            "userId": self.id,
            "email": "chaos@example.com",
            "role": "user",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        self.token = jwt.encode(claims, crowd.secret, algorithm="HS256")
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        action: str,
        call: str,
        ask: dict[str, Any],
        body: object = None,
        *,
        key: str | None = None,
        hang_up: bool = False,
    ) -> Record:
        """Send one request and record what was told.

        Args:
            action: its name in the history.
            call: method and path below the base path: `POST /seats/reserve`.
            ask: what it names, for the history.
            body: of the request, or None.
            key: the Idempotency-Key.
            hang_up: close the connection without waiting for the answer, which is lost.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        if action == "pay":
            headers = {"X-Internal-Token": self.crowd.target.internal_token}
        if key is not None:
            headers["Idempotency-Key"] = key
        asked_at = time.time()
        status, answer, retry_after = self._exchange(call, headers, body, hang_up)
        ended_at = time.time()
        told = None if status is None else ended_at
        extra: dict[str, Any] = {"retry_after": retry_after} if retry_after else {}
        if status is None:
            extra = {"hung_up": hang_up, "lost_at": ended_at}
        role = self.crowd.role
        record = Record(self.id, role, action, ask, asked_at, told, status, answer, extra)
        self.crowd.writer.write(record)
        return record

    def ask_until_told(
        self,
        action: str,
        call: str,
        ask: dict[str, Any],
        body: object = None,
        key: str | None = None,
        *,
        hang_up: bool = False,
    ) -> Record:
        """Ask, and ask the same again while the answer is lost, as a front end does.

        `hang_up`: lose the first answer.
        """
        record = self.ask(action, call, ask, body, key=key, hang_up=hang_up)
        for _ in range(TRIES):
            if not record.lost or self.crowd.stopping.is_set():
                break
            self.pause_after(record)
            record = self.ask(action, call, ask, body, key=key)
        return record

    def pause_after(self, record: Record) -> None:
        """Wait as long as the answer says, and a random moment more."""
        told = float(record.extra.get("retry_after", 0))
        self.crowd.wait(told + self.chance.uniform(0.05, 0.3))

    def _exchange(
        self, call: str, headers: Mapping[str, str], body: object, hang_up: bool
    ) -> tuple[int | None, Any, str | None]:
        """Status, body and Retry-After of the answer; None where there was none."""
        method, path = call.split()
        sent = {**headers, "X-Client": self.id}
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection = self._connected()
            connection.request(method, f"/api/v1{path}", body=data, headers=sent)
            if hang_up:
                time.sleep(self.chance.uniform(0, 0.02))
                self.close()
                return None, None, None
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text), answer.headers.get("Retry-After")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None, None, None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.crowd.target.url)
            self._connection = http.client.HTTPConnection(
                str(parts.hostname), parts.port, timeout=ANSWER_TIMEOUT
            )
        return self._connection
