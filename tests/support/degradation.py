"""An instance that reaches its servers through proxies, and trouble from other programs."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support.buyers import token_for
from tests.support.factories import Event, one
from tests.support.proxy import Address, Proxy, proxy
from tests.support.service import Response, Service, run_service

POOL_SIZE = 8

OURS = "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ticket-%'"
WAITING = (
    f"SELECT coalesce(max(pid), 0) FROM {OURS} AND wait_event_type = 'Lock'"
    # Not those of the expiry loop.
    " AND query !~ '(PREPARE|EXECUTE) (expire|wait_briefly|wait_for_ticket_type)'"
)
BUSY = f"SELECT count(*) FROM {OURS} AND state = 'active'"
END_CONNECTIONS = f"SELECT count(pg_terminate_backend(pid)) FROM {OURS}"


@dataclass
class Instance:
    """An instance that reaches its servers through proxies."""

    service: Service
    postgres: Proxy
    redis: Proxy

    def state(self) -> tuple[int, str]:
        """Return what the readiness probe says."""
        answer = self.service.request("GET", "/health/ready")
        return answer.status, answer.json()["status"]

    def redis_is(self, *states: str) -> None:
        """Wait until the instance sees Redis in one of these states."""
        eventually(lambda: redis_state(self.service) in states, seconds=20)


def subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


@contextmanager
def behind_proxies(
    database_url: str, redis_url: str, folder: Path, **env: str
) -> Iterator[Instance]:
    app = "tests.support.unguarded:app" if "UNGUARDED" in env else "wsgi:app"
    with (
        proxy(address(database_url)) as database,
        proxy(address(redis_url)) as redis,
        run_service(
            folder,
            app,
            DATABASE_URL=through(database, database_url),
            REDIS_URL=through(redis, redis_url),
            DB_POOL_SIZE=str(POOL_SIZE),
            **env,
        ) as service,
    ):
        yield Instance(service, database, redis)
        service.kill()


def address(url: str) -> Address:
    """Return where the server listens. For PostgreSQL, `?host=…` may be a folder of a socket."""
    parts = urlsplit(url)
    if folder := parse_qs(parts.query).get("host"):
        return f"{folder[0]}/.s.PGSQL.5432"
    return str(parts.hostname), parts.port or (6379 if parts.scheme == "redis" else 5432)


def through(server: Proxy, url: str) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{server.port}", query="").geturl()


def redis_state(service: Service) -> str:
    """Return the state in which the instance sees Redis, by its metrics."""
    metrics = service.request("GET", "/metrics").body.decode()
    [state] = re.findall(r'ticket_redis_state{state="(\w+)"} 1.0', metrics)
    return str(state)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def timed(call: Callable[[], Response]) -> tuple[Response, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


def buy_seat(
    service: Service, event: Event, seat: int = 0, *, token: str | None = None, **options: Any
) -> Response:
    """Hold a seat, by default for a new buyer."""
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    return service.post("/seats/reserve", token=token or token_for(), json=body, **options)


def buy_ticket(service: Service, event: Event, *, token: str | None = None) -> Response:
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    body = {"eventId": event.id, "items": items}
    return service.post("/reservations", token=token or token_for(), json=body)


def read(service: Service) -> Response:
    """Read something that is not cached, so that it needs PostgreSQL."""
    return service.get("/reservations/my", token=token_for())


def refused(answer: Response) -> bool:
    """Whether the answer is the 503 after which clients try again."""
    return (
        answer.status == 503
        and answer.json()["code"] == "SERVICE_UNAVAILABLE"
        and int(answer.headers["Retry-After"]) >= 1
    )


def sold(database: Connection, event: Event) -> tuple[int, int]:
    """Return how many seats of the event are not available, and how many reservations it has."""
    seats = f"SELECT count(*) FROM seats WHERE event_id = '{event.id}' AND status <> 'available'"
    reservations = f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}'"
    return one(database, seats), one(database, reservations)


@contextmanager
def row_locked(database: Connection, table: str, row_id: str) -> Iterator[None]:
    """Lock a row as another program until the block ends."""
    with closing(psycopg2.connect(database.dsn)) as other:
        one(other, f"SELECT id FROM {table} WHERE id = '{row_id}' FOR UPDATE")
        yield


@contextmanager
def held_up(database: Connection) -> Iterator[None]:
    """Make every new reservation wait for another program's lock until the block ends."""
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE reservations IN SHARE MODE")
        yield


def wait_for_waiter(database: Connection) -> int:
    """Wait until an instance waits for a lock, and return the process id of its connection."""
    eventually(lambda: one(database, WAITING) != 0)
    return int(one(database, WAITING))


def check_health_is_quick(service: Service, times: int = 50) -> None:
    taken = []
    for _ in range(times):
        answer, seconds = timed(partial(service.request, "GET", "/health"))
        assert answer.status == 200
        taken.append(seconds)
    assert (median(taken) < 0.2, max(taken) < 1) == (True, True)


def check_seat_locks(service: Service, redis_url: str, event: Event, seat: int = 0) -> None:
    """Fail unless a hold of a seat is refused exactly while there is a lock in this Redis."""
    lock = f"ticket:{{{event.id}}}:seat-lock:{event.seat_ids[seat]}"
    with Redis.from_url(redis_url) as redis:
        redis.set(lock, "someone")
        assert buy_seat(service, event, seat).json()["code"] == "SEAT_LOCKED"
        redis.delete(lock)
    assert buy_seat(service, event, seat).status == 201


def queue_calls(event: Event) -> list[tuple[str, str, str, object]]:
    """Return every call of the waiting room: method, path, role and body."""
    return [
        ("POST", f"/queue/check/{event.id}", "user", None),
        ("GET", f"/queue/status/{event.id}", "user", None),
        ("POST", f"/queue/heartbeat/{event.id}", "user", None),
        ("POST", f"/queue/leave/{event.id}", "user", None),
        ("GET", f"/queue/admin/{event.id}", "admin", None),
        ("PUT", f"/queue/admin/{event.id}", "admin", {"threshold": 5}),
        ("POST", f"/queue/admin/clear/{event.id}", "admin", None),
    ]


def ask_queue(service: Service, event: Event) -> dict[str, tuple[Response, float]]:
    """Make every call, and return the answers by method and path, with their times."""
    return {
        f"{method} {path}": timed(
            partial(
                service.request, method, f"/api/v1{path}", token=token_for(role=role), json=body
            )
        )
        for method, path, role, body in queue_calls(event)
    }


def without_queue(answer: Response) -> bool:
    """Whether the answer is the 503 of a waiting room that is not available."""
    return (
        answer.status == 503
        and answer.json()["code"] == "QUEUE_UNAVAILABLE"
        and int(answer.headers["Retry-After"]) >= 1
    )
