"""Connections to PostgreSQL, cooperative with gevent, and only to a server that takes writes.

DATABASE_URL may name several hosts, of which one takes writes at a time. libpq could try them
itself, but with a wait callback psycopg2 ignores connect_timeout: a host that never answers would
use up all of the time. So each host is tried by itself, the one that worked last first.

Readers must leave a read-only server too: it may be a demoted primary with old data, and no read
would fail. So connections have a *generation*. When one pool finds that the server is gone or
read-only, a new generation begins, and no pool uses connections of an earlier one.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import psycopg2
from gevent.socket import wait_read, wait_write
from psycopg2 import extensions

from ticket_service.stores import deadline

CONNECT_TIMEOUT = 3.0
"""Seconds to connect, shared equally by the hosts."""

# Read only; ended by an administrator or by a crash; not accepting connections; class 08: broken.
_USELESS = ("25006", "57P01", "57P02", "57P03", "08")

log = logging.getLogger(__name__)


class GivenUp(psycopg2.OperationalError):
    """The time of the request was up. Nobody knows whether the server did what it was asked, and
    nothing says that the server is gone."""


class Connection(extensions.connection):
    """A connection that remembers which statements it has prepared."""

    def __init__(
        self, dsn: str, *, connect_timeout: float, response_timeout: float, generation: int
    ) -> None:
        """Connect.

        `connect_timeout`: seconds in all. `response_timeout`: seconds without a byte, after which
        the connection counts as lost.
        """
        self.timeout = connect_timeout
        super().__init__(dsn)
        self.timeout = response_timeout
        self.generation = generation
        self.prepared: set[str] = set()
        self.autocommit = True


class Database:
    """Connects to the host of a URL that takes writes. All pools share one."""

    def __init__(self, url: str, schema: str) -> None:
        # psycopg2 is C: without this callback a slow query would block every greenlet.
        extensions.set_wait_callback(_wait)
        self._hosts = _hosts(url)
        self._schema = schema
        self._last_good = 0
        self.generation = 0
        """Connections of an earlier generation must not be used."""

    def connect(self, response_timeout: float, **settings: str | int) -> Connection:
        """A new connection in autocommit mode.

        `response_timeout`: see Connection. `settings`: settings of the server for this session.
        Raises psycopg2.Error when no host is reached in time and takes writes.
        """
        settings = {
            "search_path": self._schema,
            "TimeZone": "UTC",
            "default_transaction_isolation": r"read\ committed",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",  # it would take longer than any of our statements
            **settings,
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        failure: psycopg2.Error | None = None
        first = self._last_good
        for number in [*range(first, len(self._hosts)), *range(first)]:
            try:
                connection = self._connect_to(self._hosts[number], response_timeout, options)
            except psycopg2.OperationalError as error:
                failure = error
            else:
                self._last_good = number
                return connection
        assert failure is not None  # noqa: S101 # there is at least one host
        raise failure

    def _connect_to(
        self, host: dict[str, str], response_timeout: float, options: str
    ) -> Connection:
        generation = self.generation

        def make(dsn: str) -> Connection:
            return Connection(
                dsn,
                connect_timeout=CONNECT_TIMEOUT / len(self._hosts),
                response_timeout=response_timeout,
                generation=generation,
            )

        given: dict[str, Any] = host | {
            "options": options,
            "application_name": "ticket-service",
            "target_session_attrs": "read-write",
        }
        connection: Connection = psycopg2.connect(connection_factory=make, **given)
        return connection

    def usable(self, connection: Connection) -> bool:
        """Whether it is open and of the current generation."""
        return not connection.closed and connection.generation == self.generation

    def give_up(self, reason: str) -> None:
        """Begin a new generation, since the server is gone or read-only."""
        self.generation += 1
        log.warning("postgres connections given up", extra={"reason": reason})

    def failed(self, connection: Connection, error: psycopg2.Error) -> None:
        """Handle an error of this connection: begin a new generation if it is the server's fault,
        and close the connection unless it can be used again."""
        useless = connection.closed or (error.pgcode or "").startswith(_USELESS)
        if useless and connection.generation == self.generation:
            self.give_up(type(error).__name__)
        # An error without a code is libpq's own. After any other we must be outside a transaction.
        status = connection.info.transaction_status if not connection.closed else None
        if useless or error.pgcode is None or status != extensions.TRANSACTION_STATUS_IDLE:
            connection.close()


def _hosts(url: str) -> list[dict[str, str]]:
    """The connection parameters of each host in the URL. A single port holds for all hosts."""
    parts = extensions.parse_dsn(url)
    lists = {
        name: parts.pop(name).split(",") for name in ("host", "hostaddr", "port") if name in parts
    }
    count = max((len(values) for values in lists.values()), default=1)
    return [
        parts | {name: values[number % len(values)] for name, values in lists.items()}
        for number in range(count)
    ]


def _wait(connection: extensions.connection) -> None:
    """psycopg2's wait callback: let other greenlets run until the server answers.

    Raises psycopg2.OperationalError after the connection's `timeout`: the total time while it
    connects, the time without a byte during a statement. Raises GivenUp when the time of the
    request is up before. Connections that other modules make have no timeout.
    """
    timeout = getattr(connection, "timeout", None)
    end = None
    if timeout is not None and connection.status == extensions.STATUS_SETUP:
        end = time.monotonic() + timeout
    lost, given_up = psycopg2.OperationalError("timed out"), GivenUp("the time is up")
    while (state := connection.poll()) != extensions.POLL_OK:
        if end is not None:
            timeout = max(0.0, end - time.monotonic())
        seconds, failure = timeout, lost
        if timeout is not None:
            seconds = deadline.left(timeout, keep=deadline.LAST_SECONDS)
            failure = lost if seconds == timeout else given_up
        if state == extensions.POLL_READ:
            wait_read(connection.fileno(), timeout=seconds, timeout_exc=failure)
        elif state == extensions.POLL_WRITE:
            wait_write(connection.fileno(), timeout=seconds, timeout_exc=failure)
