"""Clients that do not read, or never stop talking: they are dropped, and others are served."""

import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.support.factories import section
from tests.support.misuse import troubles
from tests.support.polling import Polling
from tests.support.websocket import frame, newcomer, websocket
from tests.support.wire import check_soon
from ticket_service.realtime.message_limit import BURST


def worker(service):
    """The process that serves."""
    [child] = service.process.children()
    return child.pid


MESSAGES = 6_000
"""2.3 MB under both names: more than is kept for anyone who does not fetch them."""

ROW = 1_000
"""Seats that are taken at a time, so that whoever reads keeps up."""


def test_clients_that_do_not_read_are_dropped(browser, start_service, make_event, database):
    """One with a WebSocket, one that never polls again, and one that goes without a word. The
    others hear all, and memory stays."""
    service = start_service()
    event = make_event(sections=[section(rows=MESSAGES // ROW, seats=ROW)])
    hears = browser.connect(service.url)
    hears.join("join-seat-selection", event)
    process = psutil.Process(worker(service))
    join = f'421["join-seat-selection","{event.id}"]'
    polling = Polling(service)
    polling.post(join)
    assert b"431[" in polling.get().body
    with websocket(service.port, receive_buffer=4096) as deaf:
        with websocket(service.port) as goes:
            for client in (deaf, goes):
                client.say(join)
                client.read_until(rb"431\[")
            before = process.memory_info().rss
            for row in range(1, MESSAGES // ROW + 1):
                take(database, event, row)
                check_soon(lambda: len(hears.heard("seat-locked")), row * ROW, 20)
        grown = process.memory_info().rss - before
        assert deaf.ended()  # after what had been sent already
    assert polling.get().status == 400
    assert grown < 30_000_000
    assert hears.heard("#disconnect") == []
    assert not troubles(service)


@pytest.mark.parametrize("logged_in", [True, False])
def test_who_never_stops_talking_silences_nobody(service, logged_in):
    """They are disconnected, with or without a token, and others are served meanwhile."""
    flood = frame(b'42["join-event",1]') * 1_000
    with websocket(service.port) if logged_in else newcomer(service.port) as client:
        times = []

        def talk() -> None:
            for _ in range(200):
                client.send(flood)
                started = time.monotonic()
                assert service.request("GET", "/health").status == 200
                times.append(time.monotonic() - started)

        with pytest.raises(ConnectionError):
            talk()
        assert max(times, default=0) < 1


def test_who_polls_twice_at_once_is_disconnected(service):
    """So that one connection cannot keep many requests waiting."""
    polling = Polling(service)
    with ThreadPoolExecutor(2) as pool:
        answers = [answer.status for answer in pool.map(lambda _: polling.get(), range(2))]
    assert 400 in answers
    assert polling.get().status == 400


def test_answers_that_are_never_fetched_are_not_kept_without_end(service, database, make_event):
    """Each of these is a tenth of what is kept for a client."""
    event = make_event(sections=[section(rows=15, seats=100)])
    with database.cursor() as cursor:
        cursor.execute("UPDATE seats SET status = 'reserved' WHERE event_id = %s", [event.id])
    polling = Polling(service)
    statuses = [
        polling.post(f'421["join-seat-selection","{event.id}"]').status for _ in range(BURST)
    ]
    assert statuses[0] == 200
    assert statuses[-1] == 400


def take(database, event, row):
    """Have another program take a row of seats, of which all in the room are told."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE seats SET status = 'locked' WHERE event_id = %s AND row_number = %s",
            [event.id, row],
        )
