"""Publish and subscribe between the instances, over one Redis channel.

A message is a JSON object with a `kind`. Each kind has one handler in every instance, the sender
included. Messages of one instance arrive in order, and all that are pending go out in one call, at
most every SEND_INTERVAL: in a rush each call would cost as much as a part of a sale.
While Redis is away each instance receives only its own messages; an instance that missed some
catches up when it is subscribed again (`on_reconnect`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from gevent.event import Event

from ticket_service.stores import keys
from ticket_service.stores.redis import Redis, RedisUnavailable

Handler = Callable[[dict[str, Any]], None]

SEND_INTERVAL = 0.02
"""Seconds between two calls. A message that comes alone goes out at once."""

MAX_PENDING = 10_000
"""Messages kept while Redis does not answer. Further ones are dropped; the feeds' next readings
make up for them."""

log = logging.getLogger(__name__)


class Bus:
    """One instance's end of the channel."""

    def __init__(self, redis: Redis, relay_channel: str) -> None:
        """`relay_channel`: where `relay` publishes; empty: nowhere."""
        self._redis = redis
        self._relay_channel = relay_channel
        self._relayed: list[dict[str, Any]] = []
        self._handlers: dict[str, Handler] = {}
        self._outbox: list[dict[str, Any]] = []
        self._pending = Event()
        self.on_reconnect: list[Callable[[], None]] = []
        """Called after each subscription: messages may have been lost before it."""

    def on(self, kind: str, handler: Handler) -> None:
        """Register the handler of this kind of message."""
        self._handlers[kind] = handler

    def publish(self, kind: str, *, since: float | None = None, **message: Any) -> None:
        """Send a message to all instances, soon. Never waits and never fails.

        `since` (`time.monotonic()`): what the message says was so then. It arrives with `age`, the
        seconds from then until it was sent.
        """
        if len(self._outbox) < MAX_PENDING:
            self._outbox.append({"kind": kind, "since": since, **message})
        self._pending.set()

    def relay(self, event: str, payload: dict[str, Any]) -> None:
        """Publish an event for other programs, soon. Never waits and never fails."""
        if self._relay_channel and len(self._relayed) < MAX_PENDING:
            self._relayed.append({"event": event, "payload": payload})
            self._pending.set()

    def send_forever(self) -> None:
        """Send what is published. Run it in a greenlet of its own."""
        while True:
            self._pending.wait()
            self._pending.clear()
            messages, self._outbox = self._outbox, []
            relayed, self._relayed = self._relayed, []
            try:
                for message in relayed:
                    self._redis.command(
                        "PUBLISH", self._relay_channel, orjson.dumps(message).decode()
                    )
                text = orjson.dumps(_aged(messages)).decode()
                self._redis.command("PUBLISH", keys.BUS, text)
            except RedisUnavailable:
                log.warning("announced to this instance only", extra={"messages": len(messages)})
                self._handle(_aged(messages))
            gevent.sleep(SEND_INTERVAL)

    def listen_forever(self) -> None:
        """Handle what arrives. Run it in a greenlet of its own."""
        for received in self._redis.listen(keys.BUS, keys.ADMITTED):
            if received is None:
                for callback in self.on_reconnect:
                    callback()
                continue
            channel, text = received
            message = orjson.loads(text)
            self._handle([message | {"kind": "admitted"}] if channel == keys.ADMITTED else message)

    def _handle(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                self._handlers[message["kind"]](message)
            except Exception:
                log.exception("unhandled", extra={"kind": message.get("kind")})


def _aged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with `age` for `since`: the clock of an instance means nothing to others."""
    now = time.monotonic()
    aged = []
    for message in messages:
        since = message["since"]
        others = {name: value for name, value in message.items() if name != "since"}
        aged.append(others if since is None else others | {"age": now - since})
    return aged
