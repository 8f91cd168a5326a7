"""PostgreSQL: small pools of connections, and transactions of one round trip.

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
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg2
from psycopg2 import errors

from ticket_service.errors import ServiceUnavailable
from ticket_service.stores.database import Connection, Database
from ticket_service.stores.slots import Slots
from ticket_service.stores.sql_files import read_statements
from ticket_service.stores.stuck_rows import Rows, StuckRows

CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection; then the request is refused."""

MAX_WAITING = 1_000
"""Greenlets that may wait for a connection: about what a pool can serve before they time out."""

STUCK_PART = 4
"""One connection of so many may wait for rows that are known to be stuck: each waits for the whole
lock time-out, and there is little hope for it."""

TELL_INTERVAL = 1.0
"""Seconds between two log lines about a pool that is exhausted."""

STATEMENT_TIMEOUT_MS = 2_000
LOCK_TIMEOUT_MS = 1_500

MAX_STATEMENTS = 4
"""In one script. The server's time-outs count for each statement by itself."""

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


class NothingWritten(ServiceUnavailable):
    """Certainly nothing changed: there was no connection in time, or the server refused."""


class Refused(NothingWritten):
    """The server answered and undid this transaction: it took too long, lost a deadlock, or a
    trigger raised. Others may do better."""


class RowLocked(Refused):
    """Another transaction held a lock too long."""


def is_of_transaction(error: Exception) -> bool:
    """Whether the transaction failed for what it did, so that a part of it may do better: the
    server is there, and no lock was in the way."""
    return type(error) is Refused or not isinstance(error, ServiceUnavailable)


class SqlScript:
    """Statements that run as one transaction, in the order given.

    Each connection prepares each of them once: planning one of ours takes longer than running it.
    Parameters are written `%(name)s`, and a percent sign `%%`; the parameters' types follow from
    where they stand, or from a cast.
    """

    def __init__(self, **statements: str) -> None:
        self.preparations: dict[str, str] = {}
        assert len(statements) <= MAX_STATEMENTS  # noqa: S101 # a programmer's mistake
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

    @classmethod
    def from_file(cls, *names: str) -> SqlScript:
        """The script in ticket_service/sql of this name; several are put one behind the other."""
        statements: dict[str, str] = {}
        for name in names:
            statements |= read_statements(name)
        return cls(**statements)


_READ_ONLY = SqlScript(read_only="SELECT current_setting('transaction_read_only')::boolean")


class Postgres:
    """A pool of connections. All methods may be called from many greenlets at once."""

    def __init__(
        self,
        database: Database,
        name: str,
        size: int,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        """`name`: what the connections are for, in the log."""
        self._database = database
        self._name = name
        self._statement_timeout_ms = statement_timeout_ms
        self._slots = Slots(size, MAX_WAITING)
        self._stuck = StuckRows(max(1, size // STUCK_PART))
        self._idle: list[Connection] = []
        self._refused = 0
        self._told_refused_at = -TELL_INTERVAL

    def transaction(
        self,
        script: SqlScript,
        parameters: Mapping[str, Any] | None = None,
        *,
        group: str | None = None,
        waits_for: Rows = (),
    ) -> list[tuple[Any, ...]]:
        """Run the script; return the rows of its last statement.

        `group` must not take all connections (stores/slots.py); `waits_for` are rows that all its
        buyers lock, and that another program may keep (stores/stuck_rows.py).

        Raises ServiceUnavailable when PostgreSQL is gone, full or read-only; Refused, which is one,
        when it is this transaction that was too slow or lost a deadlock, and RowLocked where it did
        not get a lock, or nobody does; ReferenceMissing where a foreign key refuses. Either way
        nothing was written, unless the connection broke, or timed out, before the answer came.
        """
        try:
            with self._turn(group, waits_for), self._connection() as connection:
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
    def _turn(self, group: str | None, rows: Rows) -> Iterator[None]:
        """The right to use a connection. Raises RowLocked, or NothingWritten when full."""
        if rows and not self._stuck.wait(rows):
            raise RowLocked
        if not self._slots.take(group, CHECKOUT_TIMEOUT):
            self._tell_exhausted()
            raise NothingWritten
        try:
            if rows and self._stuck.refuses(rows):
                raise RowLocked
            with self._stuck.attempt(rows) if rows else nullcontext():
                yield
        finally:
            self._slots.give_back(group)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        # A connection without a byte for longer than a script can take counts as lost, not one
        # that is slower: the server would still commit what we no longer wait for.
        connection = self._idle_connection() or self._database.connect(
            response_timeout=MAX_STATEMENTS * self._statement_timeout_ms / 1000 + 1,
            statement_timeout=self._statement_timeout_ms,
            lock_timeout=LOCK_TIMEOUT_MS,
        )
        try:
            yield connection
        except psycopg2.Error as error:
            self._database.failed(connection, error)
            if isinstance(error, _BUGS):
                # Perhaps of this connection: a statement prepared for a table that has changed.
                connection.close()
            raise
        except BaseException:
            # The greenlet was killed half-way: nobody knows what the connection is doing.
            connection.close()
            raise
        finally:
            if self._database.usable(connection):
                self._idle.append(connection)
            else:
                connection.close()

    def _idle_connection(self) -> Connection | None:
        """One that leads to the server that can be written to; the others are closed."""
        while self._idle:
            connection = self._idle.pop()
            if self._database.usable(connection):
                return connection
            connection.close()
        return None

    def _tell_exhausted(self) -> None:
        """Log it, but not once for each of thousands of requests."""
        self._refused += 1
        now = time.monotonic()
        if now - self._told_refused_at >= TELL_INTERVAL:
            extra = {"pool": self._name, "refused": self._refused}
            log.warning("postgres pool exhausted", extra=extra)
            self._refused, self._told_refused_at = 0, now


def _run(
    connection: Connection, script: SqlScript, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run the script; the rows of its last statement."""
    with connection.cursor() as cursor:
        for name in script.preparations.keys() - connection.prepared:
            # One at a time: what is prepared stays so, also when the next one fails.
            cursor.execute(script.preparations[name])
            connection.prepared.add(name)
        cursor.execute(script.call, parameters)
        return cursor.fetchall()
