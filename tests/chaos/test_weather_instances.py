"""An instance that is frozen while it holds a seat's lock, and one whose clock is wrong."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from chaos.weather.instances import CLOCK
from dev.servers import Servers
from tests.support.books import check_books
from tests.support.buyers import token_for
from tests.support.degradation import address, buy_seat, eventually, sold, through
from tests.support.factories import Event, section
from tests.support.proxy import Proxy, proxy
from tests.support.service import Response, Service
from ticket_service.stores import keys
from ticket_service.stores.locks import LOCK_TTL_MS


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=10)])


@pytest.fixture
def way(servers: Servers) -> Iterator[Proxy]:
    """An instance's way to PostgreSQL."""
    with proxy(address(servers.database_url)) as server:
        yield server


def test_the_late_write_of_a_frozen_holder_of_a_lock_is_refused(
    service: Service,
    start_service: Callable[..., Service],
    servers: Servers,
    way: Proxy,
    event: Event,
    database: Connection,
    redis: Redis,
):
    """It has the seat's lock in Redis, and is suspended with its write on the way. Meanwhile the
    lock ends and another instance sells the seat. The row decides."""
    frozen = start_service(DATABASE_URL=through(way, servers.database_url))
    assert buy_seat(frozen, event, 1).status == 201
    lock = keys.seat_lock(event.id, event.seat_ids[0])
    with ThreadPoolExecutor() as threads:
        way.hang()
        late = threads.submit(buy_seat, frozen, event)
        eventually(lambda: redis.exists(lock) == 1)
        time.sleep(0.5)  # its write is in the proxy
        os.killpg(frozen.process.pid, signal.SIGSTOP)
        try:
            assert buy_seat(service, event).json()["code"] == "SEAT_LOCKED"
            eventually(lambda: redis.exists(lock) == 0, LOCK_TTL_MS / 1000 + 5)
            assert buy_seat(service, event).status == 201
            way.restore()
        finally:
            os.killpg(frozen.process.pid, signal.SIGCONT)
        assert late.result().status in (409, 503)
    assert sold(database, event) == (2, 2)
    check_books(database, event)
    assert buy_seat(frozen, event, 2).status == 201
    frozen.kill()


def clock_of(service: Service) -> float:
    """The seconds by which an instance's clock is ahead, by its log."""
    service.get("/events")
    lines = [line for line in service.log_lines() if "time" in line]
    return datetime.fromisoformat(lines[-1]["time"]).timestamp() - datetime.now(UTC).timestamp()


def held_for(answer: Response) -> float:
    """Seconds until the hold ends."""
    assert answer.status == 201, answer.body
    ends_at = datetime.fromisoformat(answer.json()["reservation"]["expiresAt"])
    return ends_at.timestamp() - time.time()


@pytest.mark.parametrize("offset", [90, -90], ids=["ahead", "behind"])
def test_an_instance_with_a_wrong_clock_sells_as_others_do(
    start_service: Callable[..., Service], event: Event, offset: int
):
    """Holds and waiting rooms go by the clocks of PostgreSQL and Redis. Only the times in a token
    are compared with its own."""
    wrong = start_service(PYTHONPATH=str(CLOCK), CHAOS_CLOCK_SECONDS=str(offset))
    assert abs(clock_of(wrong) - offset) < 30
    now = int(time.time())
    usual = token_for(iat=now - 120)
    answer = buy_seat(wrong, event, token=usual)
    assert abs(held_for(answer) - 300) < 30
    path = f"/queue/check/{event.id}"
    place = wrong.post(path, token=usual).json()
    ends_at = datetime.fromisoformat(place["stayEndsAt"]).timestamp()
    assert abs(ends_at - time.time() - 900) < 30
    fresh, ending = token_for(), token_for(iat=now - 120, exp=now + 60)
    codes = [wrong.post(path, token=token).json().get("code") for token in (fresh, ending)]
    assert codes == ([None, "TOKEN_EXPIRED"] if offset > 0 else ["INVALID_TOKEN", None])
    wrong.kill()
