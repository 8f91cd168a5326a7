"""Real instances of the service, and requests to them."""

import json as jsonlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import urllib3

from dev.processes import end, free_port, kill, running, wait_until
from tests.support.logged_secrets import secrets_in

JWT_SECRET = secrets.token_hex(32)

# So many buyers may send requests at the same time, each on their own connection.
MAX_CONNECTIONS = 600


@dataclass(frozen=True)
class Response:
    """An answer. The names of headers are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return jsonlib.loads(self.body)


class Service:
    """A running instance: gunicorn with one worker, on its own port."""

    def __init__(self, process: psutil.Popen, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=MAX_CONNECTIONS, timeout=30, retries=False
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> Response:
        """Send a request to a full path, such as `/api/v1/events?page=2`. Wait up to 30 s."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if json is not None:
            body = jsonlib.dumps(json, ensure_ascii=False).encode()
            sent.setdefault("Content-Type", "application/json")
        answer = self._pool.request(method, path, body=body, headers=sent, redirect=False)
        return Response(answer.status, answer.headers, answer.data)

    def get(self, path: str, **options: Any) -> Response:
        """GET below the base path: `get("/events")`. The options are those of `request`."""
        return self.request("GET", "/api/v1" + path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """POST below the base path: `post("/reservations", token=…, json=…)`."""
        return self.request("POST", "/api/v1" + path, **options)

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return self.request("GET", "/health").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def log_lines(self) -> list[dict[str, Any]]:
        """Return its log so far, oldest first. A line that is not JSON is `{"message": line}`."""
        return [_parsed(line) for line in self.log.read_text(errors="replace").splitlines()]

    def stop(self) -> None:
        """Stop it with SIGTERM, as Kubernetes does, and wait for the end. It may be called twice.

        Our idle connections are closed first, since gunicorn waits for every open one.
        """
        self._pool.close()
        end(self.process, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once."""
        kill(self.process)
        self._pool.close()


@contextmanager
def run_service(
    folder: Path, app: str = "wsgi:app", *, open_files: str = "", **env: str
) -> Iterator[Service]:
    """Run an instance until the block ends. When the block begins, it answers.

    When it has ended, its log is searched for secrets. `env`: environment variables, in addition to
    ours. `open_files`: its `ulimit -n`.

    Raises:
        ProcessFailed: it did not start; the message ends with its last log lines.
        AssertionError: a secret is in its log.
    """
    port = free_port()
    log = folder / f"service-{port}.log"
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", app]
    if open_files:
        command = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh", *command]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PORT": str(port), **env}
    with running(log.with_suffix(".pid"), command, log=log, env=environment) as process:
        service = Service(process, port, log)
        wait_until(service.answers, process, "the service", log)
        yield service
        service.stop()
        found = secrets_in(log.read_text(errors="replace"), environment)
        assert not found, "\n".join(["secrets are in the log:", *found[:10]])


@contextmanager
def run_services(folder: Path, count: int, **env: str) -> Iterator[list[Service]]:
    """Run so many instances, like `run_service`, and kill them in the end."""
    with ExitStack() as stack:
        started = [stack.enter_context(run_service(folder, **env)) for _ in range(count)]
        yield started
        for instance in started:
            instance.kill()


def _parsed(line: str) -> dict[str, Any]:
    try:
        parsed = jsonlib.loads(line)
    except ValueError:
        parsed = None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {"message": line}
