"""A slow query stops no other request, and an instance ends in order or at once."""

import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import urllib3
from psycopg2.extensions import connection as Connection

from tests.support.books import check_books
from tests.support.degradation import (
    BUSY,
    Instance,
    buy_seat,
    buy_ticket,
    check_health_is_quick,
    eventually,
    held_up,
    sold,
    wait_for_waiter,
)
from tests.support.factories import Event, one, section, ticket
from tests.support.service import Service, run_service

# The loop


def test_a_slow_query_leaves_other_requests_running(
    instance: Instance, event: Event, database: Connection
):
    with ThreadPoolExecutor() as threads, held_up(database):
        buying = threads.submit(buy_seat, instance.service, event)
        wait_for_waiter(database)
        check_health_is_quick(instance.service, times=5)
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
