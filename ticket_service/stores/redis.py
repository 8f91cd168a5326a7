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
from ticket_service.stores.redis_state import RedisState

POOL_SIZE = 32
CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection. Where Redis fails nobody waits for so long: the first who
is not answered says so to all."""

SOCKET_TIMEOUT = 0.5
"""Seconds for a connection to open, and for each answer."""

LISTEN_PAUSE = 1.0
"""Seconds before a listener that was cut off tries again."""

QUIET = 5.0
"""Seconds without a message after which a listener asks whether Redis is still there."""

# Answered also by a server that takes no writes; PUBLISH by one whose messages nobody hears.
_READS = ("GET", "PUBLISH")

# The server cannot do it now; redis-py has classes of their own for READONLY, OOM and others.
_STATES = ("BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN")

SCRIPTS = Path(__file__).parent.parent / "lua"

log = logging.getLogger(__name__)


class RedisUnavailable(ServiceUnavailable):
    """Redis is gone, slow or refuses, or all connections of this instance were busy for too long.

    Most callers go on without it; where none does, it is a 503. How long that has been so, and
    whether it opens the waiting room, is another question: see RedisState.
    """


class RedisFailed(RedisUnavailable):
    """The question was sent, and may yet be obeyed."""


class LuaScript:
    """A Lua script from ticket_service/lua; its header says what goes in and what comes out.

    Several names make one script: the first files have what the last one shares with others.
    """

    def __init__(self, *names: str) -> None:
        files = (SCRIPTS / f"{name}.lua" for name in names)
        self.source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Redis:
    """The shared Redis. All methods may be called from many greenlets at once."""

    def __init__(self, url: str, state: RedisState | None = None) -> None:
        """`state`: that of another pool of this instance; they lead to the same server."""
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
                time.sleep(LISTEN_PAUSE)
            finally:
                connection.disconnect()

    def _call(self, ask: Callable[[ConnectionInterface], Any], *, writes: bool) -> Any:
        """Ask on a connection of the pool, unless Redis fails and others ask already."""
        if not self._slots.acquire(timeout=CHECKOUT_TIMEOUT):
            raise RedisUnavailable
        try:
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
        """Take down what an error says about Redis. Raises it again if it is a bug of ours."""
        if _is_bug(error):
            self.state.answered(asked)
            raise error
        if isinstance(error, OutOfMemoryError):
            self.state.answered(asked)
        elif self.state.failed(asked, error):
            while self._idle:  # they lead to the same server
                self._idle.pop().disconnect()

    def _ask_once(self, ask: Callable[[ConnectionInterface], Any]) -> Any:
        """Ask, and ask again where an idle connection was cut long ago, by a time-out on the way.

        That says nothing about Redis, so then a new one is tried: all that we ask may be asked
        twice.
        """
        if self._idle:
            with suppress(redis.ConnectionError):
                return self._ask_on(self._idle.pop(), ask)
        return self._ask_on(self._connect(), ask)

    def _ask_on(
        self, connection: ConnectionInterface, ask: Callable[[ConnectionInterface], Any]
    ) -> Any:
        """Ask, and keep the connection unless an answer may still be on its way."""
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
    """Whether the connection is as good as before: Redis said no to this one question."""
    return _is_bug(error) or isinstance(error, OutOfMemoryError)


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
