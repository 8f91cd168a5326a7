"""PostgreSQL and Valkey of one run, which can be stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from redis import Redis, RedisError

from dev.servers import postgres, valkey
from tests.support.degradation import address, through
from tests.support.proxy import Proxy, proxy

POSTGRES = {"max_connections": "100", "max_wal_size": "96MB", "min_wal_size": "32MB"}
"""`max_connections`: three instances have 22 each at most, so that not much is left to fill."""


DISK = "300m"
"""The size of PostgreSQL's disk, of which it needs a third."""


class Store:
    """A server, the ways to it, and the way of those who prepare and check."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = ExitStack()
        self._stack = ExitStack()
        self._ways: list[Proxy] = []
        self.server_url = ""
        """Where it listens now."""
        self.start()
        self._own_way = self.way()
        self.url = through(self._own_way, self.server_url)
        """Of the server itself. It stays valid when the server restarts."""

    def way(self) -> Proxy:
        """A new way to the server, which can be disturbed."""
        way = self._stack.enter_context(proxy(address(self.server_url)))
        self._ways.append(way)
        return way

    def url_by(self, way: Proxy) -> str:
        """The server's URL by this way."""
        return through(way, self.server_url)

    def start(self, **settings: str) -> None:
        """Start the server on the data that it has."""
        self.server_url = self._running.enter_context(self._run(**settings))
        self.lead_to(self.server_url)

    def lead_to(self, url: str | None = None) -> None:
        """Lead new connections of all ways to this server, by default our own."""
        for way in self._ways:
            way.upstream = address(url or self.server_url)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to the server."""
        os.kill(int(self._pid_file.read_text().split()[0]), number)

    def stop(self) -> None:
        """Stop the server, if it runs."""
        self._running.close()

    def close(self) -> None:
        """End everything."""
        self._stack.close()
        self._running.close()

    _pid_file: Path

    def _run(self, **settings: str) -> Any:
        raise NotImplementedError


class Postgres(Store):
    """PostgreSQL with a cluster of its own, on a small disk of its own if we may mount one."""

    def __init__(self, folder: Path) -> None:
        self._disk = ExitStack()
        if may_mount():
            self._disk.enter_context(_small_disk(folder))
        super().__init__(folder)

    def close(self) -> None:
        """End everything."""
        super().close()
        self._disk.close()

    @property
    def runs(self) -> bool:
        """Whether it answers."""
        try:
            self.run("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def run(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement as an administrator; the rows, if it has some. Raises psycopg2.Error"""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def stop_at_once(self) -> None:
        """As at a crash: nothing is written down that was not."""
        self.send_signal(signal.SIGQUIT)
        self.stop()

    @property
    def _pid_file(self) -> Path:  # type: ignore[override]
        return self.folder / "postgres.pid"

    def _run(self, **settings: str) -> Any:
        return postgres(self.folder, **POSTGRES, **settings)


class Valkey(Store):
    """Valkey, which forgets everything at a stop unless it is told to save."""

    def client(self) -> Redis:
        """A client of the server itself."""
        return Redis.from_url(self.url, decode_responses=True)

    def stop_with_data(self) -> None:
        """Write everything down and stop."""
        with self.client() as client:
            client.shutdown(save=True)
        self.stop()

    def forget(self) -> None:
        """Remove what was written down."""
        (self.folder / "dump.rdb").unlink(missing_ok=True)

    def is_loading(self) -> bool:
        """Whether it still reads what it wrote down."""
        try:
            with self.client() as client:
                return bool(client.info("persistence")["loading"])
        except RedisError:
            return True

    @property
    def _pid_file(self) -> Path:  # type: ignore[override]
        return self.folder / "valkey.pid"

    def _run(self, **settings: str) -> Any:
        return valkey(self.folder, **settings)


@cache
def may_mount() -> bool:
    """Whether we may mount file systems: as root, but not in most containers."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _small_disk(Path(folder)):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """Have a file system of DISK in this folder until the block ends."""
    options = ["-t", "tmpfs", "-o", f"size={DISK}", "ticket-chaos"]
    subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)
