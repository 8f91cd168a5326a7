"""Redis: a small pool of connections, one command or one script at a time.

redis-py's `Connection` speaks the protocol; its `Redis` client on top costs as much again a call,
and its pool raises when it is empty instead of waiting, so the pool is ours.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis
from gevent.lock import BoundedSemaphore
from redis.connection import ConnectionInterface
from redis.exceptions import NoScriptError

from ticket_service.errors import ServiceUnavailable

POOL_SIZE = 32
CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection. Where Redis is away nobody waits for so long: the first
who is not answered says so to all."""

SOCKET_TIMEOUT = 0.5
"""Seconds for a connection to open, and for each answer."""

REST_AFTER_FAILURE = 1.0
"""Seconds during which nobody tries again, so that a hanging Redis costs few requests its time-out,
and one that takes no writes is not asked for versions that it could not change."""

QUIET = 5.0
"""Seconds without a message after which a listener asks whether Redis is still there."""

# The server cannot do it now; redis-py has classes of their own for READONLY, OOM and others.
_STATES = ("BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN")

SCRIPTS = Path(__file__).parent.parent / "lua"

log = logging.getLogger(__name__)


class RedisUnavailable(ServiceUnavailable):
    """Redis is gone or slow. Most callers go on without it; where none does, it is a 503."""


class RedisBusy(RedisUnavailable):
    """Redis may be well, but all connections of this instance were busy for too long."""


class Script:
    """A Lua script from ticket_service/lua; its header says what goes in and what comes out.

    Several names make one script: the first files have what the last one shares with others.
    """

    def __init__(self, *names: str) -> None:
        files = (SCRIPTS / f"{name}.lua" for name in names)
        self.source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Redis:
    """The shared Redis. All methods may be called from many greenlets at once."""

    def __init__(self, url: str) -> None:
        # Only for what it makes of the URL: its make_connection() counts what it ever made, is not
        # told of what was closed, and refuses for good after a hundred.
        parsed = redis.ConnectionPool.from_url(
            url,
            socket_connect_timeout=SOCKET_TIMEOUT,
            socket_timeout=SOCKET_TIMEOUT,
            decode_responses=True,
            protocol=2,  # in which a message comes like any other answer
        )
        self._connect = partial(parsed.connection_class, **parsed.connection_kwargs)
        self._slots = BoundedSemaphore(POOL_SIZE)
        self._idle: list[ConnectionInterface] = []
        self._rest_until = 0.0

    def command(self, *words: str | int) -> Any:
        """Send one command and return its answer. Raises RedisUnavailable."""
        return self._call(lambda connection: _ask(connection, *words))

    def run(self, script: Script, keys: list[str], *arguments: str | int) -> Any:
        """Run a script on `keys`, all of one hash slot. Raises RedisUnavailable."""
        call = (len(keys), *keys, *arguments)

        def ask(connection: ConnectionInterface) -> Any:
            try:
                return _ask(connection, "EVALSHA", script.sha, *call)
            except NoScriptError:  # a Redis that was restarted or flushed
                return _ask(connection, "EVAL", script.source, *call)

        return self._call(ask)

    def listen(self, *channels: str) -> Iterator[tuple[str, str] | None]:
        """What is published on these channels, for ever: pairs of channel and message.

        None each time that listening begins: what was published before, or while Redis was away,
        is lost.
        """
        while True:
            connection = self._connect()
            try:
                connection.send_command("SUBSCRIBE", *channels)
                log.info("listening")
                yield from _messages(connection)
            except (redis.RedisError, OSError) as error:
                log.warning("not listening", extra={"error": type(error).__name__})
                time.sleep(REST_AFTER_FAILURE)
            finally:
                connection.disconnect()

    def _call(self, ask: Callable[[ConnectionInterface], Any]) -> Any:
        """Ask on a connection of the pool.

        An idle connection may have been cut long ago, by a time-out on the way. That says nothing
        about Redis, so then a new one is tried: all that we ask may be asked twice.
        """
        if not self._slots.acquire(timeout=CHECKOUT_TIMEOUT):
            raise RedisBusy
        try:
            if time.monotonic() < self._rest_until:
                raise RedisUnavailable
            try:
                if self._idle:
                    with suppress(redis.ConnectionError):
                        return self._ask_on(self._idle.pop(), ask)
                return self._ask_on(self._connect(), ask)
            except (redis.RedisError, OSError) as error:
                if _is_bug(error):
                    raise
                log.warning("redis unavailable", extra={"error": type(error).__name__})
                self._rest_until = time.monotonic() + REST_AFTER_FAILURE
                while self._idle:  # they lead to the same server
                    self._idle.pop().disconnect()
                raise RedisUnavailable from error
        finally:
            self._slots.release()

    def _ask_on(
        self, connection: ConnectionInterface, ask: Callable[[ConnectionInterface], Any]
    ) -> Any:
        """Ask, and keep the connection unless an answer may still be on its way."""
        try:
            answer = ask(connection)
        except BaseException as error:
            if _is_bug(error):
                self._idle.append(connection)
            else:
                connection.disconnect()
            raise
        self._idle.append(connection)
        return answer


def _is_bug(error: BaseException) -> bool:
    """Whether it is our command that is wrong, not the state of the server."""
    return type(error) is redis.ResponseError and not str(error).startswith(_STATES)


def _ask(connection: ConnectionInterface, *words: str | int) -> Any:
    connection.send_command(*words)
    return connection.read_response()


def _messages(connection: ConnectionInterface) -> Iterator[tuple[str, str] | None]:
    """The messages that a subscribing connection receives; None for each channel it has."""
    asked = False
    while True:
        try:
            kind, *rest = connection.read_response(timeout=QUIET, disconnect_on_error=False)
        except redis.TimeoutError:
            if asked:  # and no answer came
                raise
            connection.send_command("PING")
            asked = True
            continue
        asked = False
        if kind == "message":
            yield rest[0], rest[1]
        elif kind == "subscribe":
            yield None
