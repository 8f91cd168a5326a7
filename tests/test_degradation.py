"""What happens when PostgreSQL, Redis or the network fails, and when an instance ends."""

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg2
import pytest
import urllib3
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import postgres, valkey
from tests.support.books import check_books
from tests.support.browser import run_client
from tests.support.buyers import at_once, token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.factories import Event, one, section, ticket
from tests.support.proxy import Address, Proxy, proxy
from tests.support.service import Response, Service, run_service
from tests.support.visitors import arrive, overview, run_queue
from ticket_service.stores import redis as stores_redis
from ticket_service.stores import redis_state as redis_states
from ticket_service.stores import schema
from ticket_service.stores.keys import ADMITTED, WAITING_LINES
from ticket_service.stores.locks import LOCK_TTL_MS
from ticket_service.stores.postgres import CHECKOUT_TIMEOUT, LOCK_TIMEOUT_MS, RESPONSE_TIMEOUT

POOL_SIZE = 8

OURS = "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ticket-%'"
WAITING = (
    f"SELECT coalesce(max(pid), 0) FROM {OURS} AND wait_event_type = 'Lock'"
    " AND query !~ '(PREPARE|EXECUTE) (end_holds|wait_briefly)'"  # the loop may wait too
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
        """What the readiness probe says."""
        answer = self.service.request("GET", "/health/ready")
        return answer.status, answer.json()["status"]

    def redis_is(self, *states: str) -> None:
        """Wait until Redis is in one of these states, as the instance sees it."""
        eventually(lambda: redis_state(self.service) in states, seconds=20)


database_url = own_database_url
"""A database that only these tests write, so that its books can be checked."""


@pytest.fixture(scope="module")
def redis_url(folder: Path) -> Iterator[str]:
    """A Valkey that may be flushed."""
    with valkey(subfolder(folder, "valkey")) as url:
        yield url


@pytest.fixture(scope="module")
def shared(database_url: str, redis_url: str, folder: Path) -> Iterator[Instance]:
    with behind_proxies(database_url, redis_url, folder) as instance:
        yield instance


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The instance that survives all of this: after each test it must be well again by itself."""
    redis = shared.redis.upstream
    yield shared
    shared.redis.upstream = redis
    shared.redis.restore()
    shared.postgres.restore()
    eventually(lambda: shared.state() == (200, "ok"))


database = balanced_database


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


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
    """Where the server listens; PostgreSQL's may be a Unix socket in the folder `?host=…`."""
    parts = urlsplit(url)
    if folder := parse_qs(parts.query).get("host"):
        return f"{folder[0]}/.s.PGSQL.5432"
    return str(parts.hostname), parts.port or (6379 if parts.scheme == "redis" else 5432)


def through(server: Proxy, url: str) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{server.port}", query="").geturl()


def redis_state(service: Service) -> str:
    """How the instance sees Redis, by its metrics."""
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
    """By a new buyer unless a token says who."""
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    return service.post("/seats/reserve", token=token or token_for(), json=body, **options)


def buy_ticket(service: Service, event: Event, *, token: str | None = None) -> Response:
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    body = {"eventId": event.id, "items": items}
    return service.post("/reservations", token=token or token_for(), json=body)


def read(service: Service) -> Response:
    """What nobody keeps: it asks PostgreSQL each time."""
    return service.get("/reservations/my", token=token_for())


def refused(answer: Response) -> bool:
    """Whether it is the 503 that tells the client to try again."""
    return (
        answer.status == 503
        and answer.json()["code"] == "SERVICE_UNAVAILABLE"
        and int(answer.headers["Retry-After"]) >= 1
    )


def sold(database: Connection, event: Event) -> tuple[int, int]:
    """How many seats of the event are not available, and how many reservations it has."""
    seats = f"SELECT count(*) FROM seats WHERE event_id = '{event.id}' AND status <> 'available'"
    reservations = f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}'"
    return one(database, seats), one(database, reservations)


@contextmanager
def row_locked(database: Connection, table: str, row_id: str) -> Iterator[None]:
    """Another program has the row until the block ends."""
    with closing(psycopg2.connect(database.dsn)) as other:
        one(other, f"SELECT id FROM {table} WHERE id = '{row_id}' FOR UPDATE")
        yield


@contextmanager
def held_up(database: Connection) -> Iterator[None]:
    """Another program's lock makes every new reservation wait until the block ends."""
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE reservations IN SHARE MODE")
        yield


def wait_for_waiter(database: Connection) -> int:
    """Wait until an instance waits for a lock; the process id of its connection."""
    eventually(lambda: one(database, WAITING) != 0)
    return int(one(database, WAITING))


def check_health_is_quick(service: Service) -> None:
    for _ in range(50):
        answer, seconds = timed(partial(service.request, "GET", "/health"))
        assert (answer.status, seconds < 1) == (200, True)


def check_seat_locks(service: Service, redis_url: str, event: Event, seat: int = 0) -> None:
    """Fail unless a lock in this Redis, and nothing else, turns the buyer of a seat away."""
    lock = f"ticket:{{{event.id}}}:seat-lock:{event.seat_ids[seat]}"
    with Redis.from_url(redis_url) as redis:
        redis.set(lock, "someone")
        assert buy_seat(service, event, seat).json()["code"] == "SEAT_LOCKED"
        redis.delete(lock)
    assert buy_seat(service, event, seat).status == 201


# Redis


@pytest.mark.parametrize("failure", ["refuse", "hang", "lose_answers"])
def test_without_redis_sales_go_on_and_with_it_seat_locks_do(
    instance: Instance, event: Event, redis_url: str, failure: str
):
    service, token, times = instance.service, token_for(), []

    def answer(call: Callable[..., Response], *arguments: Any, status: int = 200) -> Any:
        response, seconds = timed(partial(call, *arguments, token=token))
        times.append(seconds)
        assert response.status == status
        return response.json()

    getattr(instance.redis, failure)()
    race = at_once([partial(timed, partial(buy_seat, service, event))] * 100)
    assert all(without_queue(response) for response, _ in race)
    assert max(seconds for _, seconds in race) < 2

    instance.redis_is("away")
    race = at_once([partial(timed, partial(buy_seat, service, event))] * 100)
    assert sorted(response.status for response, _ in race) == [201] + [409] * 99
    assert max(seconds for _, seconds in race) < 2

    for bought in range(1, 5):
        answer(buy_seat, service, event, bought, status=201)
        answer(buy_ticket, service, event, status=201)
        seats = answer(service.get, f"/seats/events/{event.id}")["seats"]
        stock = answer(service.get, f"/tickets/availability/{event.ticket_type_ids[0]}")
        assert [seat["status"] for seat in seats].count("locked") == 1 + bought
        assert stock["available_quantity"] == 100 - bought
        assert len(answer(service.get, "/reservations/my")["reservations"]) == 2 * bought
    assert instance.state() == (200, "degraded")
    assert max(times) < 2
    assert median(times) < 0.2

    instance.redis.restore()
    eventually(lambda: instance.state() == (200, "ok"))
    check_seat_locks(instance.service, redis_url, event, 5)


def test_a_redis_that_comes_back_empty_is_used_again(
    instance: Instance, event: Event, folder: Path
):
    instance.redis.refuse()
    instance.redis_is("away")
    assert buy_seat(instance.service, event, 1).status == 201
    with valkey(subfolder(folder, "empty-valkey")) as url:
        instance.redis.upstream = address(url)
        instance.redis.restore()
        eventually(lambda: instance.state() == (200, "ok"))
        check_seat_locks(instance.service, url, event)


@pytest.mark.parametrize("disturbance", ["cut", "flush"])
def test_a_seat_is_sold_once_however_redis_is_disturbed(
    instance: Instance, event: Event, redis_url: str, disturbance: str
):
    with Redis.from_url(redis_url) as redis:

        def disturb() -> list[int]:
            for _ in range(50):
                if disturbance == "cut":
                    instance.redis.cut()
                else:
                    redis.flushall()
                    redis.script_flush()
                time.sleep(0.005)
            return []

        def answer(seat: int) -> int:
            """The last word: a 503 says to try again, and may leave a lock for a moment."""
            token = token_for()
            while True:
                response = buy_seat(instance.service, event, seat, token=token)
                again = without_queue(response) or refused(response)
                if not again and response.json().get("code") != "SEAT_LOCKED":
                    return response.status
                time.sleep(0.02)

        def buy(seat: int) -> list[int]:
            return [answer(seat) for _ in range(3)]

        answers = at_once([partial(buy, seat % 10) for seat in range(50)] + [disturb])
    for seat in range(10):
        statuses = [status for answer in answers[seat:50:10] for status in answer]
        assert sorted(statuses) == [201] + [409] * 14


def test_redis_may_fail_any_number_of_times(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Not through HTTP: an instance rests for a moment after each failure."""
    monkeypatch.setattr(redis_states, "REST_AFTER_FAILURE", 0)
    with proxy(address(redis_url)) as server:
        store = stores_redis.Redis(through(server, redis_url))
        for _ in range(150):
            assert store.command("PING") == "PONG"
            server.refuse()
            with pytest.raises(stores_redis.RedisUnavailable):
                store.command("PING")
            server.restore()


def test_an_idle_connection_to_redis_may_be_cut(redis_url: str):
    with proxy(address(redis_url)) as server:
        store = stores_redis.Redis(through(server, redis_url))
        for _ in range(3):
            assert store.command("PING") == "PONG"
            server.cut()


# The waiting room without Redis


def queue_calls(event: Event) -> list[tuple[str, str, str, object]]:
    """Every call of the waiting room: method, path, role and body."""
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
    """The answers of every call by its path, with their times."""
    return {
        f"{method} {path}": timed(
            partial(
                service.request, method, f"/api/v1{path}", token=token_for(role=role), json=body
            )
        )
        for method, path, role, body in queue_calls(event)
    }


def without_queue(answer: Response) -> bool:
    """Whether it is the 503 that says that there is no waiting room now."""
    return (
        answer.status == 503
        and answer.json()["code"] == "QUEUE_UNAVAILABLE"
        and int(answer.headers["Retry-After"]) >= 1
    )


@pytest.mark.parametrize("failure", ["refuse", "hang", "lose_answers"])
def test_without_redis_there_is_no_waiting_room_and_nobody_waits_to_hear_it(
    instance: Instance, event: Event, make_event: Callable[..., Event], failure: str
):
    service = instance.service
    free = make_event(sections=[section(seats=10)], tickets=[ticket()])
    run_queue(service, event.id, paused=True)
    assert buy_seat(service, event).json()["code"] == "QUEUE_REQUIRED"
    getattr(instance.redis, failure)()
    for _ in range(2):
        for call, (answer, seconds) in ask_queue(service, event).items():
            assert (call, without_queue(answer), seconds < 1) == (call, True, True)
        time.sleep(redis_states.REST_AFTER_FAILURE)  # after which it is tried again
    instance.redis_is("away")
    for call, (answer, seconds) in ask_queue(service, event).items():
        assert (call, without_queue(answer), seconds < 1) == (call, True, True)
    for buy in (buy_seat, buy_ticket):
        assert without_queue(buy(service, event))
        assert buy(service, free).status == 201

    instance.redis.restore()
    eventually(lambda: instance.state() == (200, "ok"))
    statuses = {call: answer.status for call, (answer, _) in ask_queue(service, event).items()}
    assert set(statuses.values()) == {200}


def test_the_shop_may_be_closed_while_there_is_no_waiting_room(
    event: Event,
    database: Connection,
    database_url: str,
    redis_url: str,
    start_service: Callable[..., Service],
):
    with proxy(address(redis_url)) as redis:
        service = start_service(
            DATABASE_URL=database_url,
            REDIS_URL=through(redis, redis_url),
            SELL_WITHOUT_WAITING_ROOM="false",
        )
        assert buy_seat(service, event, 1).status == 201
        for fail in (redis.refuse, redis.hang):
            fail()
            for state in ("hiccup", "away"):
                eventually(lambda state=state: redis_state(service) == state, seconds=20)
                for buy in (buy_seat, buy_ticket):
                    answer, seconds = timed(partial(buy, service, event))
                    assert (without_queue(answer), seconds < 1) == (True, True)
            assert sold(database, event) == (1, 1)
            redis.restore()
            eventually(lambda: service.request("GET", "/health/ready").json()["status"] == "ok")
        assert buy_seat(service, event, 2).status == 201  # seat 0 may be locked: what hung went on
        assert buy_ticket(service, event).status == 201
        service.kill()


@pytest.mark.parametrize("loss", ["outage", "flush", "restart"])
def test_when_redis_is_back_people_are_admitted_and_told_again(
    instance: Instance, event: Event, redis_url: str, folder: Path, loss: str
):
    service = instance.service
    run_queue(service, event.id, threshold=1)
    inside, waiting = arrive(service, event.id, 2)
    with ExitStack() as stack:
        socket = stack.enter_context(run_client(service.url, waiting.token))
        assert socket.emit("join-queue", event.id)["position"] == 1
        url = redis_url
        if loss == "flush":
            with Redis.from_url(redis_url) as redis:
                redis.flushall()
                redis.script_flush()
        else:
            instance.redis.refuse()
            eventually(lambda: socket.emit("join-queue", event.id).get("code") is not None)
            assert socket.emit("join-queue", event.id)["code"] == "QUEUE_UNAVAILABLE"
        if loss == "restart":
            url = stack.enter_context(valkey(subfolder(folder, f"restarted-valkey-{event.id}")))
            instance.redis.upstream = address(url)
        instance.redis.restore()
        eventually(lambda: instance.state() == (200, "ok"))
        with Redis.from_url(url) as redis:
            eventually(lambda: redis.pubsub_numsub(ADMITTED)[0][1] > 0)
        if loss != "outage":
            run_queue(service, event.id, threshold=1)
            assert inside.check()["status"] == "active"
        assert socket.emit("join-queue", event.id)["position"] == 1
        inside.leave()
        socket.wait_for("queue-entry-allowed")
        assert waiting.stands() == ("active", 0)
        numbers = len(socket.payloads("queue-updated"))
        arrive(service, event.id, 2)  # one would make the numbers those that were told last
        socket.wait_for("queue-updated", numbers + 1)


# The states of Redis


def rest_of_log(service: Service, begin: int) -> list[str]:
    """The edges between states that were logged since."""
    lines = service.log_lines()[begin:]
    edges = {f"redis {state}" for state in redis_states.State}
    return [line["message"] for line in lines if line["message"] in edges]


def look_around(service: Service) -> None:
    """Wait until the instance has looked after all events again, whole rounds of it."""

    def last() -> str:
        loops = service.request("GET", "/health/ready").json()["loops"]
        return next(str(loop["lastRun"]) for loop in loops if loop["name"] == "admission")

    for _ in range(3):
        before = last()
        eventually(lambda before=before: last() != before)


def pause(service: Service, event: Event) -> None:
    run_queue(service, event.id, paused=True)


def form_line(service: Service, event: Event) -> None:
    """One is inside, one waits, and there is no room for more."""
    run_queue(service, event.id, threshold=1)
    arrive(service, event.id, 2)


guarding = pytest.mark.parametrize("guard", [pause, form_line])


@guarding
def test_one_late_answer_of_redis_opens_no_waiting_room(
    instance: Instance, event: Event, database: Connection, guard: Callable[..., None]
):
    guard(instance.service, event)
    instance.redis.delay_answer(b"seat-lock", 2 * stores_redis.SOCKET_TIMEOUT)
    answers = [buy_seat(instance.service, event)]
    assert without_queue(answers[0])
    outsiders = [partial(buy_seat, instance.service, event, seat % 10) for seat in range(12)]
    answers += at_once(outsiders)
    assert {answer.status for answer in answers} <= {403, 503}
    assert sold(database, event) == (0, 0)


def test_one_late_answer_of_redis_costs_one_buyer_a_repeat(
    instance: Instance, event: Event, database: Connection
):
    """And no seat: what the late one locked is free again."""
    assert buy_seat(instance.service, event, 9).status == 201  # Redis knows the script from here on
    instance.redis.delay_answer(b"seat-lock", 2 * stores_redis.SOCKET_TIMEOUT)
    answer, seconds = timed(partial(buy_seat, instance.service, event))
    assert (without_queue(answer), answer.headers["Retry-After"], seconds < 1) == (True, "1", True)
    for seat in range(1, 9):
        assert buy_seat(instance.service, event, seat).status == 201
    eventually(lambda: buy_seat(instance.service, event).status == 201, LOCK_TTL_MS / 2000)


def test_redis_goes_through_its_states(instance: Instance, event: Event, redis_url: str):
    """Each edge: what follows for buyers, and one line of log."""
    service, redis, begin = instance.service, instance.redis, len(instance.service.log_lines())
    instance.redis_is("well")

    redis.refuse()
    instance.redis_is("hiccup")
    race = at_once([partial(buy_seat, service, event)] * 50)
    assert all(without_queue(answer) for answer in race)
    redis.restore()
    instance.redis_is("well")
    assert buy_seat(service, event, 0).status == 201

    redis.refuse()
    instance.redis_is("hiccup")
    began = time.monotonic()
    while redis_state(service) == "hiccup":
        answer = buy_seat(service, event, 1)
        assert without_queue(answer) or time.monotonic() - began > redis_states.OUTAGE_SECONDS - 0.5
    assert redis_state(service) == "away"
    eventually(lambda: buy_seat(service, event, 2).status in {201, 409})

    redis.restore()
    instance.redis_is("back")
    check_seat_locks(service, redis_url, event, 3)
    redis.refuse()
    instance.redis_is("hiccup")
    assert without_queue(buy_seat(service, event, 4))
    redis.restore()
    instance.redis_is("back", "well")
    assert buy_seat(service, event, 4).status == 201
    instance.redis_is("well")

    edges = ["hiccup", "well", "hiccup", "away", "back", "hiccup", "back", "well"]
    assert rest_of_log(service, begin) == [f"redis {edge}" for edge in edges]


def test_two_failures_far_apart_are_no_outage(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Not through HTTP, where loops would ask in between."""
    monkeypatch.setattr(redis_states, "OUTAGE_SECONDS", 0.2)
    monkeypatch.setattr(redis_states, "REST_AFTER_FAILURE", 0)
    with proxy(address(redis_url)) as server:
        store = stores_redis.Redis(through(server, redis_url))
        assert store.command("SET", "a", 1) == "OK"
        server.refuse()
        for state in ("hiccup", "hiccup", "hiccup", "away"):
            with pytest.raises(stores_redis.RedisUnavailable):
                store.command("SET", "a", 1)
            assert store.state.current == state
            time.sleep(0.25)


@pytest.mark.parametrize("guarded", [True, False])
def test_what_any_instance_paused_or_had_in_line_stays_closed_while_redis_is_away(
    instance: Instance,
    event: Event,
    make_event: Callable[..., Event],
    database_url: str,
    redis_url: str,
    folder: Path,
    start_service: Callable[..., Service],
    guarded: bool,
):
    """On an instance that served neither; and, without its memory, the negative control."""
    other = start_service(DATABASE_URL=database_url, REDIS_URL=redis_url)
    paused, line = (make_event(sections=[section(seats=10)], tickets=[ticket()]) for _ in range(2))
    env = {} if guarded else {"UNGUARDED": "memory of guards"}
    with behind_proxies(database_url, redis_url, folder, **env) as away:
        pause(other, paused)
        form_line(other, line)
        look_around(away.service)
        away.redis.refuse()
        away.redis_is("away")
        for buy in (buy_seat, buy_ticket):
            assert buy(away.service, event).status == 201
            for closed in (paused, line):
                answer = buy(away.service, closed)
                assert without_queue(answer) if guarded else answer.status == 201
                assert not guarded or answer.headers["Retry-After"] == "5"
        away.redis.restore()
        away.redis_is("back")
        for closed in (paused, line):
            assert buy_seat(away.service, closed, 5).json()["code"] == "QUEUE_REQUIRED"


def test_an_instance_that_never_heard_of_redis_opens_nothing(
    event: Event, database_url: str, redis_url: str, start_service: Callable[..., Service]
):
    with proxy(address(redis_url)) as redis:
        redis.refuse()
        service = start_service(DATABASE_URL=database_url, REDIS_URL=through(redis, redis_url))
        until = time.monotonic() + redis_states.OUTAGE_SECONDS + 2
        while time.monotonic() < until:
            assert without_queue(buy_seat(service, event))
            time.sleep(0.1)
        redis.restore()
        eventually(lambda: buy_seat(service, event).status == 201)


def test_a_pause_survives_a_redis_that_lost_its_memory(
    instance: Instance,
    event: Event,
    database_url: str,
    redis_url: str,
    start_service: Callable[..., Service],
):
    """Whoever knows of it puts it back, unless an admin ended it since."""
    other = start_service(DATABASE_URL=database_url, REDIS_URL=redis_url)
    pause(other, event)
    look_around(instance.service)
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        other.kill()
        assert buy_seat(instance.service, event).json()["code"] == "QUEUE_REQUIRED"
        assert overview(instance.service, event.id)["paused"] is True

        redis.flushall()
        look_around(instance.service)
        assert overview(instance.service, event.id)["paused"] is True
        assert redis.zscore(WAITING_LINES, event.id) is not None

        redis.flushall()
        run_queue(instance.service, event.id, paused=False)
        look_around(instance.service)
        redis.flushall()
        assert buy_seat(instance.service, event).status == 201


def test_a_paused_event_is_looked_after_as_long_as_the_pause_may_last(
    instance: Instance, event: Event, redis_url: str
):
    with Redis.from_url(redis_url) as redis:
        pause(instance.service, event)
        look_around(instance.service)
        assert redis.zscore(WAITING_LINES, event.id) > (time.time() + 29 * 86_400) * 1000
        assert redis.ttl(WAITING_LINES) > 29 * 86_400
        run_queue(instance.service, event.id, paused=False)
        look_around(instance.service)
        assert (redis.zscore(WAITING_LINES, event.id) or 0) < (time.time() + 60) * 1000


def test_a_redis_that_takes_no_writes_is_away_too(
    instance: Instance, event: Event, make_event: Callable[..., Event], redis_url: str
):
    """As after a fail-over. What it still answers says nothing: no version was changed since."""
    service, paused = instance.service, make_event(sections=[section(seats=10)])
    pause(service, paused)
    with Redis.from_url(redis_url) as redis, closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        redis.replicaof("127.0.0.1", nobody.getsockname()[1])
        try:
            instance.redis_is("hiccup")
            assert without_queue(buy_seat(service, event))
            assert instance.state() == (200, "degraded")

            def away_while_we_read() -> bool:
                service.get(f"/seats/events/{event.id}")
                return redis_state(service) == "away"

            eventually(away_while_we_read, seconds=20)
            assert without_queue(buy_seat(service, paused))
            for seat in range(5):
                assert buy_seat(service, event, seat).status == 201
                seats = service.get(f"/seats/events/{event.id}").json()["seats"]
                assert [seat["status"] for seat in seats].count("locked") == seat + 1
        finally:
            redis.replicaof("NO", "ONE")
        instance.redis_is("back")
        assert buy_seat(service, paused).json()["code"] == "QUEUE_REQUIRED"


def test_a_full_redis_opens_nothing(
    instance: Instance, event: Event, make_event: Callable[..., Event], redis_url: str
):
    """It still runs the waiting room."""
    service, paused = instance.service, make_event(sections=[section(seats=10)])
    pause(service, paused)
    with Redis.from_url(redis_url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            eventually(lambda: instance.state() == (200, "degraded"))
            begin = len(service.log_lines())
            until = time.monotonic() + redis_states.OUTAGE_SECONDS + 1
            while time.monotonic() < until:
                assert instance.state() == (200, "degraded")
                assert buy_seat(service, paused).json()["code"] == "QUEUE_REQUIRED"
                time.sleep(0.1)
            assert buy_seat(service, event).status == 201
            assert rest_of_log(service, begin) == []
        finally:
            redis.config_set("maxmemory", 0)


# PostgreSQL


def requests(event: Event) -> dict[str, tuple[str, str, object]]:
    """A request to every route that needs PostgreSQL."""
    nobody, ticket_type = uuid4(), event.ticket_type_ids[0]
    seats = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    tickets = {"eventId": event.id, "items": [{"ticketTypeId": ticket_type, "quantity": 1}]}
    return {
        "events": ("GET", f"/events?q={nobody}", None),
        "event": ("GET", f"/events/{event.id}", None),
        "ticket types": ("GET", f"/tickets/event/{event.id}", None),
        "availability": ("GET", f"/tickets/availability/{ticket_type}", None),
        "layouts": ("GET", "/seats/layouts", None),
        "seat map": ("GET", f"/seats/events/{event.id}", None),
        "hold seats": ("POST", "/seats/reserve", seats),
        "seats of a reservation": ("GET", f"/seats/reservation/{nobody}", None),
        "hold tickets": ("POST", "/reservations", tickets),
        "my reservations": ("GET", "/reservations/my", None),
        "reservation": ("GET", f"/reservations/{nobody}", None),
        "cancel": ("POST", f"/reservations/{nobody}/cancel", None),
    }


def send(service: Service, request: tuple[str, str, object]) -> tuple[Response, float]:
    method, path, body = request
    path = f"/api/v1{path}"
    return timed(partial(service.request, method, path, token=token_for(), json=body))


def test_refused_by_postgresql_every_answer_is_a_503_at_once(instance: Instance, event: Event):
    service, asked = instance.service, requests(event)
    instance.postgres.refuse()
    eventually(lambda: refused(send(service, asked["layouts"])[0]))  # kept for a moment
    for name, request in asked.items():
        answer, seconds = send(service, request)
        assert (name, refused(answer), seconds < 1) == (name, True, True)
    assert instance.state() == (503, "unavailable")
    for path in ("/health", "/health/live"):
        assert service.request("GET", path).status == 200

    instance.postgres.restore()
    statuses = {name: send(service, request)[0].status for name, request in asked.items()}
    assert {name: status for name, status in statuses.items() if status >= 500} == {}


def test_without_postgresql_the_line_goes_on_for_every_event_that_is_known(
    instance: Instance, make_event: Callable[..., Event]
):
    service, known, unknown = instance.service, make_event(), make_event()
    run_queue(service, known.id, threshold=1)
    inside, waiting = arrive(service, known.id, 2)
    instance.postgres.refuse()
    inside.leave()
    eventually(lambda: waiting.stands() == ("active", 0))
    assert arrive(service, known.id, 1)[0].stands() == ("queued", 1)
    assert refused(service.post(f"/queue/check/{unknown.id}", token=token_for()))


def test_a_failure_is_logged_under_the_id_of_its_request(instance: Instance):
    request_id = uuid4().hex
    instance.postgres.refuse()
    headers = {"X-Request-ID": request_id}
    assert refused(instance.service.get("/reservations/my", token=token_for(), headers=headers))
    lines = [line for line in instance.service.log_lines() if line.get("request_id") == request_id]
    assert "postgres refused" in [line["message"] for line in lines]


def test_a_hanging_postgresql_hangs_nothing_else_and_nobody_for_long(
    instance: Instance, event: Event
):
    """Who has one of the connections waits for it; the rest is refused sooner, not piled up."""
    service, asked = instance.service, requests(event)
    at_once([partial(read, service)] * 3)
    service.get(f"/queue/status/{event.id}", token=token_for())  # the event is known from here on
    instance.postgres.hang()
    del asked["layouts"]  # kept for a moment
    several = [*asked.values(), *[asked["my reservations"]] * 20]
    with ThreadPoolExecutor(len(several) + 1) as threads:
        waiting = [(request, threads.submit(send, service, request)) for request in several]
        ready = threads.submit(service.request, "GET", "/health/ready")
        check_health_is_quick(service)
        assert not any(future.done() for _, future in waiting)
    for request, future in waiting:
        assert (request, refused(future.result()[0])) == (request, True)
    times = sorted(future.result()[1] for _, future in waiting)
    assert times[-POOL_SIZE - 1] < CHECKOUT_TIMEOUT + 1
    assert times[-1] < CHECKOUT_TIMEOUT + RESPONSE_TIMEOUT + 1
    assert ready.result().status == 503

    instance.postgres.restore()
    assert {answer.status for answer in at_once([partial(read, service)] * 30)} == {200}


def test_a_restarted_postgresql_is_used_again(redis_url: str, folder: Path):
    data = subfolder(folder, "restarted-postgres")
    with ExitStack() as first_run:
        url = first_run.enter_context(postgres(data))
        schema.migrate(url, "public")
        with behind_proxies(url, redis_url, folder) as instance:
            again = partial(read, instance.service)
            assert {answer.status for answer in at_once([again] * 20)} == {200}
            first_run.close()
            assert refused(again())
            with postgres(data) as url:
                instance.postgres.upstream = address(url)
                eventually(lambda: again().status == 200)
                assert {answer.status for answer in at_once([again] * 20)} == {200}


def test_connections_that_ended_cost_a_handful_of_requests(
    instance: Instance, database: Connection
):
    at_once([partial(read, instance.service)] * 20)
    one(database, END_CONNECTIONS)
    answers = [read(instance.service) for _ in range(20)]
    lost = [answer for answer in answers if answer.status != 200]
    assert all(refused(answer) for answer in lost)
    assert len(lost) <= POOL_SIZE
    assert {answer.status for answer in answers[POOL_SIZE:]} == {200}


def test_a_connection_that_ends_during_a_request_changes_nothing(
    instance: Instance, event: Event, database: Connection
):
    with ThreadPoolExecutor() as threads, held_up(database):
        buying = threads.submit(buy_seat, instance.service, event)
        one(database, f"SELECT pg_terminate_backend({wait_for_waiter(database)})")
        assert refused(buying.result())
    assert sold(database, event) == (0, 0)
    assert buy_seat(instance.service, event).status == 201


def test_after_a_lost_answer_the_idempotency_key_finds_what_was_done(
    instance: Instance, event: Event, database: Connection
):
    key = {"Idempotency-Key": str(uuid4())}
    buy = partial(buy_seat, instance.service, event, token=token_for(), headers=key)
    assert buy_seat(instance.service, event, 1).status == 201  # the next one has no preparations
    instance.postgres.lose_answers()
    assert refused(buy())
    instance.postgres.restore()
    assert sold(database, event) == (2, 2)
    assert buy().status == 201
    assert sold(database, event) == (2, 2)


def test_a_seat_that_another_program_is_changing_is_a_conflict_at_once(
    instance: Instance, event: Event, database: Connection
):
    with row_locked(database, "seats", event.seat_ids[0]):
        answer, seconds = timed(partial(buy_seat, instance.service, event))
    assert (answer.status, answer.json()["code"]) == (409, "SEAT_LOCKED")
    assert seconds < LOCK_TIMEOUT_MS / 1000
    assert sold(database, event) == (0, 0)
    assert buy_seat(instance.service, event).status == 201


def test_a_locked_ticket_type_is_a_503_after_the_lock_timeout(
    instance: Instance, event: Event, database: Connection
):
    with row_locked(database, "ticket_types", event.ticket_type_ids[0]):
        answer, seconds = timed(partial(buy_ticket, instance.service, event))
    assert refused(answer)
    assert seconds < LOCK_TIMEOUT_MS / 1000 + 1
    assert sold(database, event) == (0, 0)
    assert buy_ticket(instance.service, event).status == 201


def test_a_locked_table_leaves_new_connections_usable(
    instance: Instance, event: Event, database: Connection
):
    """As another program's migration locks it, while connections prepare their statements."""
    one(database, END_CONNECTIONS)
    eventually(lambda: read(instance.service).status == 200)
    buy = [partial(buy_seat, instance.service, event), partial(buy_ticket, instance.service, event)]
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE reservation_items IN ACCESS EXCLUSIVE MODE")
        seat, ticket = at_once(buy)
        assert (seat.json()["code"], refused(ticket)) == ("SEAT_LOCKED", True)
    assert sold(database, event) == (0, 0)
    assert [answer.status for answer in at_once(buy)] == [201, 201]


# The loop


def test_a_slow_query_leaves_other_requests_running(
    instance: Instance, event: Event, database: Connection
):
    with ThreadPoolExecutor() as threads, held_up(database):
        buying = threads.submit(buy_seat, instance.service, event)
        wait_for_waiter(database)
        check_health_is_quick(instance.service)
        assert not buying.done()
    assert buying.result().status == 201


def test_without_the_wait_callback_a_slow_query_stops_everything(
    event: Event, database: Connection, database_url: str, folder: Path
):
    """The negative control of the test above."""
    with (
        ThreadPoolExecutor() as threads,
        run_service(folder, "tests.support.blocking:app", DATABASE_URL=database_url) as service,
    ):
        with held_up(database):
            buying = threads.submit(buy_seat, service, event)
            wait_for_waiter(database)
            health = threads.submit(service.request, "GET", "/health")
            with pytest.raises(TimeoutError):
                health.result(timeout=0.5)
        assert (buying.result().status, health.result().status) == (201, 200)
        service.kill()


# The end of an instance


def test_sigterm_lets_a_request_finish_and_waits_for_nobody_idle(
    event: Event, database: Connection, database_url: str, start_service: Callable[..., Service]
):
    service = start_service(DATABASE_URL=database_url)
    with ThreadPoolExecutor() as threads, closing(connect(service)) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        with held_up(database):
            buying = threads.submit(buy_seat, service, event)
            wait_for_waiter(database)
            service.process.send_signal(signal.SIGTERM)
            eventually(lambda: not listens(service))
            assert not buying.done()
        assert buying.result().status == 201
        assert service.process.wait(timeout=5) == 0


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=5)


def listens(service: Service) -> bool:
    with suppress(OSError), connect(service):
        return True
    return False


def test_sigkill_leaves_no_half_reservation(
    make_event: Callable[..., Event],
    database: Connection,
    database_url: str,
    start_service: Callable[..., Service],
):
    event = make_event(sections=[section(seats=1_000)], tickets=[ticket(total=1_000)])
    service = start_service(DATABASE_URL=database_url)
    bought: list[str] = []

    def buy(seats: range) -> None:
        with suppress(urllib3.exceptions.HTTPError):
            for seat in seats:
                for answer in (buy_seat(service, event, seat), buy_ticket(service, event)):
                    bought.append(answer.json()["reservation"]["id"])

    with ThreadPoolExecutor() as threads:
        for first in range(10):
            threads.submit(buy, range(first, 1_000, 10))
        eventually(lambda: len(bought) > 100)
        service.kill()
    eventually(lambda: one(database, BUSY) == 0)
    kept = f"SELECT count(*) FROM reservations WHERE id = ANY ('{{{','.join(bought)}}}')"
    assert one(database, kept) == len(bought) <= sold(database, event)[1]
    check_books(database)
