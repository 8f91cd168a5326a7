"""PostgreSQL: small pools of connections, and transactions in one round trip.

**Every write is one script.** The statements that lock come first, and the one that checks and
writes comes last. The server gets them in one message and runs them as one transaction, as it does
with a simple query of several statements. So no row lock is held while a greenlet waits for its
turn: on a hot row, that makes thousands of sales a second instead of hundreds. Nor can a
transaction be left open. Under READ COMMITTED each statement has its own snapshot, so the last one
sees the state after the locks were taken.
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
from ticket_service.stores import deadline
from ticket_service.stores.database import Connection, Database, GivenUp
from ticket_service.stores.slots import Slots
from ticket_service.stores.sql_files import read_statements
from ticket_service.stores.stuck_rows import Rows, StuckRows

CHECKOUT_TIMEOUT = 2.0
"""Seconds to wait for a free connection before the request is refused."""

MAX_WAITING = 1_000
"""Greenlets that may wait for a connection: about as many as a pool serves before they time out."""

STUCK_PART = 4
"""One in so many connections may wait for rows that are known to be stuck, since such a wait
probably lasts for the whole lock time-out and fails."""

TELL_INTERVAL = 1.0
"""Seconds between two log lines about an exhausted pool."""

MIN_SECONDS = 1.0
"""A transaction is not begun with less time left of its request: nobody might hear its answer."""

STATEMENT_TIMEOUT_MS = 2_000
LOCK_TIMEOUT_MS = 1_500

MAX_STATEMENTS = 4
"""In one script. The server's time-outs apply to each statement separately."""

_KEPT = deadline.LAST_SECONDS + MIN_SECONDS

log = logging.getLogger(__name__)

# Errors in our code, not failures of the server.
_BUGS = (
    psycopg2.ProgrammingError,
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
)

# SQLSTATEs that concern one transaction and not the server: rollback, limit, lock, time-out, RAISE.
_REFUSALS = ("40", "54", "55", "57014", "P0")

_PARAMETER = re.compile(r"(%\((\w+)\)s)(::[\w\[\]]+)?")


class ReferenceMissing(Exception):
    """A foreign key refers to a row that does not exist. Nothing was written."""


class NothingWritten(ServiceUnavailable):
    """Nothing was written: there was no connection in time, or the server refused."""


class Refused(NothingWritten):
    """The server rolled this transaction back: it took too long, lost a deadlock, or a trigger
    raised. Other transactions may succeed."""


class RowLocked(Refused):
    """Another transaction held a lock too long."""


def is_of_transaction(error: Exception) -> bool:
    """Whether the cause of the failure is in the transaction, so that a part of it may succeed. It
    is not if the server is away or a row is locked."""
    return type(error) is Refused or not isinstance(error, ServiceUnavailable)


class SqlScript:
    """Statements that run as one transaction, in the order given.

    Each connection prepares each of them once, since planning one takes longer than running it.
    Parameters are written `%(name)s`, and a percent sign `%%`. The server infers the type of a
    parameter from its context, or takes it from a cast.
    """

    def __init__(self, **statements: str) -> None:
        self.preparations: dict[str, str] = {}
        assert len(statements) <= MAX_STATEMENTS  # noqa: S101 # a programmer's mistake
        calls = []
        for title, text in statements.items():
            # By name, with the cast: psycopg2 writes a list as an array of text.
            arguments = {name: place + cast for place, name, cast in _PARAMETER.findall(text)}
            places = {name: f"${position}" for position, name in enumerate(arguments, start=1)}
            # Statements with the same title and different texts get different names.
            name = f"{title}_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
            self.preparations[name] = f"PREPARE {name} AS {text % places}"
            given = f" ({', '.join(arguments.values())})" if arguments else ""
            calls.append(f"EXECUTE {name}{given}")
        self.call = "; ".join(calls)

    @classmethod
    def from_file(cls, *names: str) -> SqlScript:
        """Return the script of this name in ticket_service/sql, or several as one."""
        statements: dict[str, str] = {}
        for name in names:
            statements |= read_statements(name)
        return cls(**statements)


_READ_ONLY = SqlScript(read_only="SELECT current_setting('transaction_read_only')::boolean")


class Postgres:
    """A pool of connections. Many greenlets may call its methods at the same time."""

    def __init__(
        self,
        database: Database,
        name: str,
        size: int,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        """`name`: the name of the pool in the log."""
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
        """Run the script and return the rows of its last statement.

        `group`: transactions of one group may not take all connections (stores/slots.py).
        `waits_for`: rows for whose locks it waits, and that another program may keep locked
        (stores/stuck_rows.py).

        Raises ServiceUnavailable if PostgreSQL is away, full or read-only, or if the request's time
        is over; its subclass Refused if this transaction was too slow or lost a deadlock; RowLocked
        if it did not get a lock, or if nobody gets it at present; ReferenceMissing if a foreign key
        refuses. Then nothing was written, unless the connection broke or timed out before the
        answer came.
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
        """Raise ServiceUnavailable unless PostgreSQL answers and accepts writes."""
        [(read_only,)] = self.transaction(_READ_ONLY)
        if read_only:
            self._database.give_up("read only")
            raise ServiceUnavailable

    @contextmanager
    def _turn(self, group: str | None, rows: Rows) -> Iterator[None]:
        """Wait for the right to use a connection. Raises RowLocked, or NothingWritten if full."""
        if rows and not self._stuck.wait(rows):
            raise RowLocked
        if not self._slots.take(group, deadline.left(CHECKOUT_TIMEOUT, keep=_KEPT)):
            self._tell_exhausted()
            raise NothingWritten
        try:
            if deadline.over(keep=_KEPT):
                raise NothingWritten
            if rows and self._stuck.refuses(rows):
                raise RowLocked
            with self._stuck.attempt(rows) if rows else nullcontext():
                yield
        finally:
            self._slots.give_back(group)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        # A connection counts as lost only after a silence that is longer than a script can take:
        # otherwise the server could commit after we stopped waiting.
        connection = self._idle_connection() or self._database.connect(
            response_timeout=MAX_STATEMENTS * self._statement_timeout_ms / 1000 + 1,
            statement_timeout=self._statement_timeout_ms,
            lock_timeout=LOCK_TIMEOUT_MS,
        )
        try:
            yield connection
        except GivenUp:
            connection.close()
            while self._idle:  # where one is silent, they may be too
                self._idle.pop().close()
            raise
        except psycopg2.Error as error:
            self._database.failed(connection, error)
            if isinstance(error, _BUGS):
                # The cause may be a statement that was prepared before its table changed.
                connection.close()
            raise
        except BaseException:
            # The greenlet was killed, so the state of the connection is unknown.
            connection.close()
            raise
        finally:
            if self._database.usable(connection):
                self._idle.append(connection)
            else:
                connection.close()

    def _idle_connection(self) -> Connection | None:
        """Return one to the server that accepts writes, and close those that lead elsewhere."""
        while self._idle:
            connection = self._idle.pop()
            if self._database.usable(connection):
                return connection
            connection.close()
        return None

    def _tell_exhausted(self) -> None:
        """Log that the pool is exhausted, at most once in TELL_INTERVAL."""
        self._refused += 1
        now = time.monotonic()
        if now - self._told_refused_at >= TELL_INTERVAL:
            extra = {"pool": self._name, "refused": self._refused}
            log.warning("postgres pool exhausted", extra=extra)
            self._refused, self._told_refused_at = 0, now


def _run(
    connection: Connection, script: SqlScript, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run the script and return the rows of its last statement."""
    with connection.cursor() as cursor:
        for name in script.preparations.keys() - connection.prepared:
            # One at a time: if the next one fails, this one stays prepared.
            cursor.execute(script.preparations[name])
            connection.prepared.add(name)
        cursor.execute(script.call, parameters)
        return cursor.fetchall()
