"""What happens when Redis fails: sales go on, and there is no waiting room."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import valkey
from tests.support.browser import run_client
from tests.support.buyers import at_once, token_for
from tests.support.degradation import (
    Instance,
    address,
    ask_queue,
    buy_seat,
    buy_ticket,
    check_seat_locks,
    eventually,
    redis_state,
    refused,
    sold,
    subfolder,
    through,
    timed,
    without_queue,
)
from tests.support.factories import Event, section, ticket
from tests.support.proxy import proxy
from tests.support.service import Response, Service
from tests.support.visitors import arrive, run_queue
from ticket_service.stores import redis as stores_redis
from ticket_service.stores import redis_state as redis_states
from ticket_service.stores.keys import ADMITTED

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
    assert max(seconds for _, seconds in race) < 5

    instance.redis_is("away")
    race = at_once([partial(timed, partial(buy_seat, service, event))] * 100)
    assert sorted(response.status for response, _ in race) == [201] + [409] * 99
    assert max(seconds for _, seconds in race) < 5

    for bought in range(1, 5):
        answer(buy_seat, service, event, bought, status=201)
        answer(buy_ticket, service, event, status=201)
        seats = answer(service.get, f"/seats/events/{event.id}")["seats"]
        stock = answer(service.get, f"/tickets/availability/{event.ticket_type_ids[0]}")
        assert [seat["status"] for seat in seats].count("locked") == 1 + bought
        assert stock["available_quantity"] == 100 - bought
        assert len(answer(service.get, "/reservations/my")["reservations"]) == 2 * bought
    assert instance.state() == (200, "degraded")
    assert max(times) < 5
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


# The waiting room


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
