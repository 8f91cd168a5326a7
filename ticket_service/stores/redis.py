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
from redis.exceptions import NoScriptError, OutOfMemoryError

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores import deadline
from ticket_service.stores.redis_state import RedisState

POOL_SIZE = 32
"""Connections of one pool."""

CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection. Nobody waits so long while Redis fails, since the first
failure makes the other calls fail at once."""

SOCKET_TIMEOUT = 0.5
"""Seconds for a connection to open, and for each answer."""

LISTEN_PAUSE = 1.0
"""Seconds before a listener that was disconnected tries again."""

LISTEN_PING_SECONDS = 5.0
"""Seconds without a message after which a listener sends a ping."""

# A server that takes no writes answers these too, so an answer to them does not end a failure.
_READS = ("GET", "PUBLISH")

# Errors of a server that cannot answer now. redis-py has classes for READONLY, OOM and others.
_STATE_ERRORS = (
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "UNKILLABLE",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "TRYAGAIN",
)

SCRIPTS = Path(__file__).parent.parent / "lua"

log = logging.getLogger(__name__)


class RedisUnavailable(ServiceUnavailable):
    """Redis did not answer or refused, or no connection of the pool came free in time.

    Most callers go on without Redis; else the client gets a 503. Whether it is an outage is for
    RedisState to decide.
    """


class RedisFailed(RedisUnavailable):
    """The command was sent without an answer: Redis may still run it."""


class LuaScript:
    """A Lua script from ticket_service/lua. The file's header documents its keys, arguments and
    answer.

    Several names make one script: their files are joined, shared functions first.
    """

    def __init__(self, *names: str) -> None:
        files = (SCRIPTS / f"{name}.lua" for name in names)
        self.source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Redis:
    """The shared Redis. All methods may be called from many greenlets at once."""

    def __init__(self, url: str, state: RedisState | None = None) -> None:
        """`state`: the state of another pool of this instance, for a pool to the same server."""
        # Only to parse the URL: its make_connection() never counts closed connections out, and
        # refuses for good after a hundred.
        parsed = redis.ConnectionPool.from_url(
            url,
            socket_connect_timeout=SOCKET_TIMEOUT,
            socket_timeout=SOCKET_TIMEOUT,
            decode_responses=True,
            protocol=2,  # in version 3, messages do not come as answers
        )
        self._connect = partial(parsed.connection_class, **parsed.connection_kwargs)
        self._slots = BoundedSemaphore(POOL_SIZE)
        self._idle: list[ConnectionInterface] = []
        self.state = state or RedisState()

    def command(self, *words: str | int) -> Any:
        """Send one command and return its answer. Raises RedisUnavailable."""
        writes = words[0] not in _READS
        return self._call(lambda connection: _ask(connection, *words), writes=writes)

    def run(self, script: LuaScript, keys: list[str], *arguments: str | int) -> Any:
        """Run a script on `keys`, all of one hash slot. Raises RedisUnavailable."""
        call = (len(keys), *keys, *arguments)

        def ask(connection: ConnectionInterface) -> Any:
            try:
                return _ask(connection, "EVALSHA", script.sha, *call)
            except NoScriptError:  # a Redis that was restarted or flushed
                return _ask(connection, "EVAL", script.source, *call)

        return self._call(ask, writes=True)

    def listen(self, *channels: str) -> Iterator[tuple[str, str] | None]:
        """Yield what is published on these channels, for ever: pairs of channel and message.

        Yields None for each channel after each subscription, since messages before it are lost.
        """
        while True:
            connection = self._connect()
            try:
                connection.send_command("SUBSCRIBE", *channels)
                log.info("listening")
                yield from _messages(connection)
            except (redis.RedisError, OSError) as error:
                log.warning("not listening", extra={"error": type(error).__name__})
                time.sleep(LISTEN_PAUSE)
            finally:
                connection.disconnect()

    def _call(self, ask: Callable[[ConnectionInterface], Any], *, writes: bool) -> Any:
        """Call `ask` with a connection of the pool. While Redis fails, only one call at a time is
        let through."""
        if not self._slots.acquire(timeout=deadline.left(CHECKOUT_TIMEOUT)):
            raise RedisUnavailable
        try:
            if deadline.over():
                raise RedisUnavailable
            asked = time.monotonic()
            if not self.state.may_ask(asked, writes=writes):
                raise RedisUnavailable
            try:
                answer = self._ask_once(ask)
            except (redis.RedisError, OSError) as error:
                self._judge(asked, error)
                raise RedisFailed from error
            if writes:
                self.state.answered(asked)
            return answer
        finally:
            self._slots.release()

    def _judge(self, asked: float, error: Exception) -> None:
        """Report an error to the state. Raises it again if it is a bug of ours."""
        if _is_bug(error):
            self.state.answered(asked)
            raise error
        if isinstance(error, OutOfMemoryError):
            self.state.answered(asked)
        elif self.state.failed(asked, error):
            while self._idle:  # they are to the same server
                self._idle.pop().disconnect()

    def _ask_once(self, ask: Callable[[ConnectionInterface], Any]) -> Any:
        """Ask, and ask again on a new connection if an idle one was broken.

        A firewall may have cut it long ago, which says nothing about Redis. Every command of ours
        may be sent twice.
        """
        if self._idle:
            with suppress(redis.ConnectionError):
                return self._ask_on(self._idle.pop(), ask)
        return self._ask_on(self._connect(), ask)

    def _ask_on(
        self, connection: ConnectionInterface, ask: Callable[[ConnectionInterface], Any]
    ) -> Any:
        """Ask, and return the connection to the pool unless an answer may still arrive on it."""
        try:
            answer = ask(connection)
        except BaseException as error:
            if _is_answer(error):
                self._idle.append(connection)
            else:
                connection.disconnect()
            raise
        self._idle.append(connection)
        return answer


def _is_answer(error: BaseException) -> bool:
    """Whether the error is an answer of Redis, after which the connection can be used again."""
    return _is_bug(error) or isinstance(error, OutOfMemoryError)


def _is_bug(error: BaseException) -> bool:
    """Whether the command is wrong, and not the state of the server."""
    return type(error) is redis.ResponseError and not str(error).startswith(_STATE_ERRORS)


def _ask(connection: ConnectionInterface, *words: str | int) -> Any:
    connection.send_command(*words)
    return connection.read_response()


def _messages(connection: ConnectionInterface) -> Iterator[tuple[str, str] | None]:
    """Yield the messages of a subscribing connection, and None for each channel subscribed."""
    pinged = False
    while True:
        try:
            kind, *rest = connection.read_response(
                timeout=LISTEN_PING_SECONDS, disconnect_on_error=False
            )
        except redis.TimeoutError:
            if pinged:  # and no answer came
                raise
            connection.send_command("PING")
            pinged = True
            continue
        pinged = False
        if kind == "message":
            yield rest[0], rest[1]
        elif kind == "subscribe":
            yield None
