"""PostgreSQL: a small pool of green connections, and transactions of one round trip.

**Every write is one script**: the statements that lock come first, the one that checks and writes
comes last, and the server gets them in one message and runs them as one transaction (a simple query
with several statements is one). So a row lock is never held while a greenlet waits for its turn,
which on a hot row is the difference between hundreds and thousands of sales a second, and there is
no way to leave a transaction open. READ COMMITTED gives each statement a snapshot of its own, so
the last one sees what is true after the locks were had.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from gevent.lock import BoundedSemaphore
from gevent.socket import wait_read, wait_write
from psycopg2 import errors, extensions

from ticket_service.errors import ServiceUnavailable

CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection; then the request is refused."""

MAX_WAITING = 1_000
"""Greenlets that may wait for a connection: about what a pool can serve before they time out."""

STATEMENT_TIMEOUT_MS = 2_000
LOCK_TIMEOUT_MS = 1_500

MOST_STATEMENTS = 4
"""In one script. The server's time-outs count for each statement by itself."""

CONNECT_TIMEOUT = 3.0
RESPONSE_TIMEOUT = MOST_STATEMENTS * STATEMENT_TIMEOUT_MS / 1000 + 1
"""Seconds without a byte from the server after which the connection counts as lost: longer than a
script can take, for the server would still commit what we no longer wait for."""

log = logging.getLogger(__name__)

# Our own mistakes, not the server's state.
_BUGS = (
    psycopg2.ProgrammingError,
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
)

# SQLSTATEs of one transaction, not of the server: rollback, limit, lock, time-out, RAISE.
_REFUSALS = ("40", "54", "55", "57014", "P0")

_PARAMETER = re.compile(r"(%\((\w+)\)s)(::[\w\[\]]+)?")


class ReferenceMissing(Exception):
    """A foreign key points at a row that is not there. Nothing was written."""


class Refused(ServiceUnavailable):
    """The server answered and undid this transaction: it took too long, lost a deadlock, or a
    trigger raised. Others may do better. Nothing was written."""


class RowLocked(Refused):
    """Another transaction held a lock too long. Nothing was written."""


def is_of_transaction(error: Exception) -> bool:
    """Whether the transaction failed for what it did, so that a part of it may do better: the
    server is there, and no lock was in the way."""
    return type(error) is Refused or not isinstance(error, ServiceUnavailable)


class Script:
    """Statements that run as one transaction, in the order given.

    Each connection prepares each of them once: planning one of ours takes longer than running it.
    Parameters are written `%(name)s`; their types follow from where they stand, or from a cast.
    """

    def __init__(self, **statements: str) -> None:
        self.preparations: dict[str, str] = {}
        assert len(statements) <= MOST_STATEMENTS  # noqa: S101 # a programmer's mistake
        calls = []
        for title, text in statements.items():
            # By name, with its cast: psycopg2 writes a list as an array of text.
            arguments = {name: place + cast for place, name, cast in _PARAMETER.findall(text)}
            places = {name: f"${position}" for position, name in enumerate(arguments, start=1)}
            # The same title over another text is another statement.
            name = f"{title}_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
            self.preparations[name] = f"PREPARE {name} AS {text % places}"
            given = f" ({', '.join(arguments.values())})" if arguments else ""
            calls.append(f"EXECUTE {name}{given}")
        self.call = "; ".join(calls)


class _Connection(extensions.connection):
    """A connection that knows which statements it has prepared."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepared: set[str] = set()
        self.patience = RESPONSE_TIMEOUT

    def run(self, script: Script, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run the script; the rows of its last statement."""
        with self.cursor() as cursor:
            for name in script.preparations.keys() - self._prepared:
                # One at a time: what is prepared stays so, also when the next one fails.
                cursor.execute(script.preparations[name])
                self._prepared.add(name)
            cursor.execute(script.call, parameters)
            return cursor.fetchall()


class Postgres:
    """The shared database. All methods may be called from many greenlets at once."""

    def __init__(
        self,
        url: str,
        schema: str,
        pool_size: int,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        # psycopg2 is C: without this callback a slow query stops every greenlet of the process.
        extensions.set_wait_callback(_wait)
        self._url = url
        self._options = " ".join(
            f"-c {name}={value}"
            for name, value in {
                "search_path": schema,
                "TimeZone": "UTC",
                "default_transaction_isolation": r"read\ committed",
                "statement_timeout": statement_timeout_ms,
                "lock_timeout": LOCK_TIMEOUT_MS,
                "plan_cache_mode": "force_generic_plan",
            }.items()
        )
        self._patience = MOST_STATEMENTS * statement_timeout_ms / 1000 + 1
        self._slots = BoundedSemaphore(pool_size)
        self._idle: list[_Connection] = []
        self._waiting = 0

    def transaction(
        self, script: Script, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run the script; return the rows of its last statement.

        Raises ServiceUnavailable when PostgreSQL is gone or full; Refused, which is one, when it is
        this transaction that was too slow or lost a deadlock, and RowLocked where it did not get a
        lock; ReferenceMissing where a foreign key refuses. Either way nothing was written, unless
        the connection broke, or timed out, before the answer came.
        """
        try:
            with self._connection() as connection:
                return connection.run(script, parameters or {})
        except errors.ForeignKeyViolation as error:
            raise ReferenceMissing from error
        except errors.LockNotAvailable as error:
            raise RowLocked from error
        except _BUGS:
            raise
        except psycopg2.Error as error:
            log.warning("postgres refused", extra={"error": type(error).__name__})
            refused = (error.pgcode or "").startswith(_REFUSALS)
            raise (Refused if refused else ServiceUnavailable) from error

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        self._check_out()
        connection = None
        try:
            connection = self._idle.pop() if self._idle else self._connect()
            yield connection
        except psycopg2.Error as error:
            if connection is not None and connection.closed:
                # The server went away and took the idle connections with it.
                while self._idle:
                    self._idle.pop().close()
            elif connection is not None and isinstance(error, _BUGS):
                # Perhaps of this connection: a statement prepared for a table that has changed.
                connection.close()
            raise
        except BaseException:
            # The greenlet was killed half-way: nobody knows what the connection is doing.
            if connection is not None:
                connection.close()
            raise
        finally:
            if connection is not None and not connection.closed:
                self._idle.append(connection)
            self._slots.release()

    def _check_out(self) -> None:
        """Take a slot of the pool. Raises ServiceUnavailable when it stays full, or the line is."""
        if self._slots.acquire(blocking=False):
            return
        if self._waiting >= MAX_WAITING:
            raise ServiceUnavailable
        self._waiting += 1
        try:
            if not self._slots.acquire(timeout=CHECKOUT_TIMEOUT):
                log.warning("postgres pool exhausted")
                raise ServiceUnavailable
        finally:
            self._waiting -= 1

    def _connect(self) -> _Connection:
        connection = psycopg2.connect(
            self._url,
            options=self._options,
            application_name="ticket-service",
            connection_factory=_Connection,
        )
        connection.autocommit = True
        connection.patience = self._patience
        return connection


def _wait(connection: extensions.connection) -> None:
    """psycopg2's wait callback: let other greenlets run, but not for ever.

    green psycopg2 ignores connect_timeout, so the limit for both kinds of wait is here.
    """
    connecting = connection.status == extensions.STATUS_SETUP
    timeout = CONNECT_TIMEOUT if connecting else getattr(connection, "patience", RESPONSE_TIMEOUT)
    lost = psycopg2.OperationalError("timed out")
    while (state := connection.poll()) != extensions.POLL_OK:
        if state == extensions.POLL_READ:
            wait_read(connection.fileno(), timeout=timeout, timeout_exc=lost)
        elif state == extensions.POLL_WRITE:
            wait_write(connection.fileno(), timeout=timeout, timeout_exc=lost)
