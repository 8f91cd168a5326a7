"""The states in which an instance sees Redis, and what is guarded in each."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support.buyers import at_once, token_for
from tests.support.degradation import (
    Instance,
    address,
    behind_proxies,
    buy_seat,
    buy_ticket,
    check_seat_locks,
    eventually,
    redis_state,
    sold,
    through,
    timed,
    without_queue,
)
from tests.support.factories import Event, section, ticket
from tests.support.proxy import proxy
from tests.support.service import Service
from tests.support.visitors import arrive, overview, run_queue
from ticket_service.stores import redis as stores_redis
from ticket_service.stores import redis_state as redis_states
from ticket_service.stores.keys import WAITING_LINES
from ticket_service.stores.locks import LOCK_TTL_MS


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
            assert "redis away" not in rest_of_log(service, begin)
        finally:
            redis.config_set("maxmemory", 0)


def test_a_full_redis_keeps_no_seat_locked(instance: Instance, event: Event, redis_url: str):
    """A hold releases its locks, so that the seat can be sold again at once."""
    service, token = instance.service, token_for()
    with Redis.from_url(redis_url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            held = buy_seat(service, event, token=token).json()["reservation"]["id"]
            assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
            assert buy_seat(service, event).status == 201
        finally:
            redis.config_set("maxmemory", 0)
