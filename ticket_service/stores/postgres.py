"""PostgreSQL: a small pool of connections, and transactions of one round trip.

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
from psycopg2 import errors

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores.database import Connection, Database

CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection; then the request is refused."""

MAX_WAITING = 1_000
"""Greenlets that may wait for a connection: about what a pool can serve before they time out."""

STATEMENT_TIMEOUT_MS = 2_000
LOCK_TIMEOUT_MS = 1_500

MOST_STATEMENTS = 4
"""In one script. The server's time-outs count for each statement by itself."""

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


_READ_ONLY = Script(read_only="SELECT current_setting('transaction_read_only')::boolean")


class Postgres:
    """A pool of connections. All methods may be called from many greenlets at once."""

    def __init__(
        self,
        database: Database,
        size: int,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        self._database = database
        self._statement_timeout_ms = statement_timeout_ms
        self._slots = BoundedSemaphore(size)
        self._idle: list[Connection] = []
        self._waiting = 0

    def transaction(
        self, script: Script, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run the script; return the rows of its last statement.

        Raises ServiceUnavailable when PostgreSQL is gone, full or read-only; Refused, which is one,
        when it is this transaction that was too slow or lost a deadlock, and RowLocked where it did
        not get a lock; ReferenceMissing where a foreign key refuses. Either way nothing was
        written, unless the connection broke, or timed out, before the answer came.
        """
        try:
            with self._connection() as connection:
                return _run(connection, script, parameters or {})
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

    def check_writable(self) -> None:
        """Raise ServiceUnavailable unless PostgreSQL answers and would take a write."""
        [(read_only,)] = self.transaction(_READ_ONLY)
        if read_only:
            self._database.give_up("read only")
            raise ServiceUnavailable

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        self._check_out()
        connection = None
        try:
            connection = self._idle_connection() or self._connect()
            yield connection
        except psycopg2.Error as error:
            if connection is not None:
                self._database.failed(connection, error)
                if isinstance(error, _BUGS):
                    # Perhaps of this connection: a statement prepared for a changed table.
                    connection.close()
            raise
        except BaseException:
            # The greenlet was killed half-way: nobody knows what the connection is doing.
            if connection is not None:
                connection.close()
            raise
        finally:
            if connection is not None:
                self._give_back(connection)
            self._slots.release()

    def _idle_connection(self) -> Connection | None:
        """One that leads to the server that can be written to; the others are closed."""
        while self._idle:
            connection = self._idle.pop()
            if self._database.usable(connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> Connection:
        return self._database.connect(
            response_timeout=MOST_STATEMENTS * self._statement_timeout_ms / 1000 + 1,
            statement_timeout=self._statement_timeout_ms,
            lock_timeout=LOCK_TIMEOUT_MS,
        )

    def _give_back(self, connection: Connection) -> None:
        if self._database.usable(connection):
            self._idle.append(connection)
        else:
            connection.close()

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


def _run(
    connection: Connection, script: Script, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run the script; the rows of its last statement."""
    with connection.cursor() as cursor:
        for name in script.preparations.keys() - connection.prepared:
            # One at a time: what is prepared stays so, also when the next one fails.
            cursor.execute(script.preparations[name])
            connection.prepared.add(name)
        cursor.execute(script.call, parameters)
        return cursor.fetchall()
