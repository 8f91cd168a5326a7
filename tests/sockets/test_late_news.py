"""News of an instance that was slow to tell it: nobody is shown what is over since."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.buyers import token_for
from tests.support.degradation import address, buy_seat, through
from tests.support.factories import one
from tests.support.proxy import proxy

LATE = 5.0
"""Seconds: longer than it takes to find the change in the tables and to sell the seat again, but
shorter than a request waits for PostgreSQL."""


@pytest.fixture
def way(servers):
    """An instance's way to PostgreSQL."""
    with proxy(address(servers.database_url)) as server:
        yield server


@pytest.fixture
def slow_service(way, servers, start_service):
    return start_service(DATABASE_URL=through(way, servers.database_url))


def check_told_once(client):
    """Wait for what would be told in error, and mended by the next reading."""
    time.sleep(1.5)
    told = client.heard("seat-released", "seat-locked")
    assert [heard.name for heard in told] == ["seat-released", "seat-locked"]


def test_a_seat_that_was_sold_again_is_not_shown_as_free(
    near, service, slow_service, way, event, database
):
    """Its cancellation is told after that."""
    token, seat = token_for(), event.seat_ids[0]
    held = buy_seat(service, event, token=token).json()["reservation"]["id"]
    near.join("join-seat-selection", event)
    way.delay_answer(b"EXECUTE cancel_", LATE)
    with ThreadPoolExecutor() as threads:
        path = f"/reservations/{held}/cancel"
        cancelled = threads.submit(slow_service.post, path, token=token)
        near.wait("seat-released", lambda told: told["seatId"] == seat)
        assert buy_seat(service, event).status == 201
        near.wait("seat-locked", lambda told: told["seatId"] == seat)
        assert not cancelled.done()
        assert cancelled.result().status == 200
    assert one(database, f"SELECT status FROM seats WHERE id = '{seat}'") == "locked"
    check_told_once(near)


def test_nor_if_the_news_was_long_on_its_way(browser, service, servers, start_service, event):
    """An instance that hears nothing from Redis finds the changes in the tables meanwhile."""
    token, seat = token_for(), event.seat_ids[0]
    held = buy_seat(service, event, token=token).json()["reservation"]["id"]
    with proxy(address(servers.redis_url)) as redis:
        far = start_service(REDIS_URL=through(redis, servers.redis_url))
        client = browser.connect(far.url)
        client.join("join-seat-selection", event)
        redis.hang()
        assert service.post(f"/reservations/{held}/cancel", token=token).status == 200
        client.wait("seat-released", lambda told: told["seatId"] == seat)
        assert buy_seat(service, event).status == 201
        client.wait("seat-locked", lambda told: told["seatId"] == seat)
        redis.restore()
        check_told_once(client)
        far.kill()
