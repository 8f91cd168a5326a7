"""Runs the whole service on this machine, with servers and data of its own."""

import fcntl
import http.client
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from dev import demo_data
from dev.processes import ProcessFailed, end_leftover, is_free, running, wait_until
from dev.servers import servers
from dev.workspace import data_dir, jwt_secret
from ticket_service.config import DEFAULT_PORT, ConfigError, Settings
from ticket_service.stores import schema


class CannotRun(Exception):
    """The service cannot be started. The message says what to change."""


def main() -> None:
    """Run until the process is told to stop; on a failure, exit with status 1 and a message."""
    try:
        run(data_dir())
    except psycopg2.Error as error:
        sys.exit(f"make run: the database refuses. {str(error).strip()}")
    except (CannotRun, ConfigError, ProcessFailed) as error:
        sys.exit(f"make run: {error}")


def run(folder: Path) -> None:
    """Start everything, print how to use it, and wait.

    Raises CannotRun, ConfigError, ProcessFailed and psycopg2.Error.
    """
    os.environ.setdefault("ENVIRONMENT", "development")
    if os.environ["ENVIRONMENT"] != "development":
        raise CannotRun("this is for development only; ENVIRONMENT says otherwise.")
    os.environ["JWT_SECRET"] = jwt_secret()
    os.environ.setdefault("DRAIN_SECONDS", "0")  # there is no load balancer here
    os.environ.setdefault("HOST", "127.0.0.1")  # the secret may be no secret
    port = _port()
    with _alone(folder):
        end_leftover(folder / "service.pid")
        if not is_free(port):
            raise CannotRun(f"port {port} is taken. Choose another: make run PORT={port + 1}")
        with servers(folder) as given:
            for line in given.started:
                print(f"Started {line}", flush=True)
            os.environ.update(DATABASE_URL=given.database_url, REDIS_URL=given.redis_url)
            settings = Settings.from_environment()
            schema.migrate(settings.database_url, settings.db_schema)
            if demo_data.load(settings.database_url, settings.db_schema):
                print("Loaded demo data", flush=True)
            _serve(folder, port, settings)


def _serve(folder: Path, port: int, settings: Settings) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    env = {**os.environ, "PORT": str(port)}
    with running(folder / "service.pid", command, env=env) as service:
        wait_until(lambda: _is_healthy(port), service, "the service")
        print(_banner(port, settings), flush=True)
        while service.poll() is None:
            time.sleep(0.2)
        raise ProcessFailed(f"the service ended with status {service.returncode}.")


def _port() -> int:
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise CannotRun(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it even if we are killed. Raises CannotRun."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"it runs already, on the data in {folder}.") from None
        yield


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _banner(port: int, settings: Settings) -> str:
    base = f"http://localhost:{port}/api/v1"
    lines = ["", f"The ticket service answers on port {port}. Ctrl-C stops everything.", ""]
    lines += ["See what is on sale:", f"  curl -s '{base}/events?status=on_sale'"]
    if seat := _free_seat(settings):
        body = '{{"eventId":"{}","seatIds":["{}"]}}'.format(*seat)
        lines += [
            "Hold a seat (in another terminal, in this folder):",
            f"  curl -s -X POST {base}/seats/reserve -H 'Content-Type: application/json'"
            f""" -H "Authorization: Bearer $(make -s token)" -d '{body}'""",
        ]
    return "\n".join([*lines, ""])


def _free_seat(settings: Settings) -> tuple[str, str] | None:
    """The ids of an event on sale and of one of its free seats, or None."""
    connection = psycopg2.connect(settings.database_url)
    try:
        with connection, connection.cursor() as cursor:
            schema_name = sql.Identifier(settings.db_schema)
            cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(schema_name))
            cursor.execute(
                "SELECT e.id, s.id FROM events AS e JOIN seats AS s ON s.event_id = e.id"
                " WHERE e.status = 'on_sale' AND s.status = 'available'"
                " AND (now() AT TIME ZONE 'UTC') BETWEEN e.sale_start_date AND e.sale_end_date"
                " ORDER BY e.sale_start_date, e.id, s.price, s.row_number, s.seat_number LIMIT 1"
            )
            return cursor.fetchone()
    finally:
        connection.close()
