"""What instances tell each other, over one Redis channel.

A message is a JSON object with a `kind`; each kind has one handler in every instance, the sender's
own included. Messages of one instance arrive in order, and all that are waiting go out in one call.
While Redis is away each instance hears only itself; those who missed something catch up when they
listen again (`on_return`) or ask again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
from gevent.event import Event

from ticket_service.stores import keys
from ticket_service.stores.redis import Redis, RedisUnavailable

Handler = Callable[[dict[str, Any]], None]

MAX_WAITING = 10_000
"""Messages kept while Redis does not answer; more are lost, and made up for when it is back."""

log = logging.getLogger(__name__)


class Bus:
    """The channel, as one instance sees it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._handlers: dict[str, Handler] = {}
        self._outbox: list[dict[str, Any]] = []
        self._waiting = Event()
        self.on_return: list[Callable[[], None]] = []
        """Called each time that listening begins: something may have been missed."""

    def on(self, kind: str, handler: Handler) -> None:
        """Have messages of this kind handled."""
        self._handlers[kind] = handler

    def publish(self, kind: str, **message: Any) -> None:
        """Tell all instances, soon. Never waits and never fails."""
        if len(self._outbox) < MAX_WAITING:
            self._outbox.append({"kind": kind, **message})
        self._waiting.set()

    def send_forever(self) -> None:
        """Send what is published; to be run in a greenlet of its own."""
        while True:
            self._waiting.wait()
            self._waiting.clear()
            messages, self._outbox = self._outbox, []
            try:
                self._redis.command("PUBLISH", keys.BUS, orjson.dumps(messages).decode())
            except RedisUnavailable:
                log.warning("announced to this instance only", extra={"messages": len(messages)})
                self._handle(messages)

    def listen_forever(self) -> None:
        """Handle what is heard; to be run in a greenlet of its own."""
        for heard in self._redis.listen(keys.BUS, keys.ADMITTED):
            if heard is None:
                for catch_up in self.on_return:
                    catch_up()
                continue
            channel, text = heard
            message = orjson.loads(text)
            self._handle([message | {"kind": "admitted"}] if channel == keys.ADMITTED else message)

    def _handle(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                self._handlers[message["kind"]](message)
            except Exception:
                log.exception("unhandled", extra={"kind": message.get("kind")})
