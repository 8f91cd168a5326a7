"""Clients that want to cost much: with bodies that unfold, and with connections that do nothing."""

import gzip
import json
import os
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack

import psutil
import pytest

from tests.support.browser import Browser
from tests.support.buyers import token_for
from tests.support.internal import metric
from tests.support.misuse import troubles
from tests.support.polling import Polling
from tests.support.service import Service
from tests.support.websocket import handshake, raw, websocket
from tests.support.wire import check_error, check_soon

StartService = Callable[..., Service]

IDLE = int(os.environ.get("IDLE_CONNECTIONS", "500"))
"""Connections that do nothing. Of more than 9,000 the longest idle are closed (operations.md)."""

ZEROS = b'{"eventId": "' + b"0" * 50_000_000 + b'"}'

ORDER = {"eventId": "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab", "seatIds": ["x"]}


def worker(service: Service) -> psutil.Process:
    """The process that serves."""
    [child] = psutil.Process(service.process.pid).children()
    return child


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(ZEROS)[:60_000]),
        ("deflate", zlib.compress(ZEROS)[:60_000]),
        ("br", bytes(60_000)),
        ("gzip, gzip", gzip.compress(gzip.compress(ZEROS))),
        ("x", b"{}"),
        ("gzip", json.dumps(ORDER).encode()),
    ],
    ids=["gzip", "deflate", "br", "twice", "unknown", "not compressed at all"],
)
def test_a_body_is_never_unfolded(service: Service, coding: str, body: bytes):
    process = worker(service)
    before = process.memory_info().rss
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = service.post("/seats/reserve", token=token_for(), body=body, headers=headers)
    check_error(answer, 415, "VALIDATION_ERROR")
    assert process.memory_info().rss - before < 20_000_000


def test_a_body_may_say_that_it_is_not_compressed(service: Service):
    headers = {"Content-Encoding": "identity"}
    answer = service.post("/seats/reserve", token=token_for(), json=ORDER, headers=headers)
    check_error(answer, 400, "VALIDATION_ERROR")


def test_no_compression_of_frames_is_agreed_on(service: Service):
    """A compressed frame is then a broken one: test_rfc6455.py, reserved bits."""
    with raw(service.port) as client:
        client.send(handshake(Sec_WebSocket_Extensions="permessage-deflate"))
        head = client.read_until(rb"\r\n\r\n").partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in head.lower()


def test_idle_connections_cost_little_and_delay_nobody(start_service: StartService):
    """Every second one has sent a request before."""
    service = start_service()
    process = worker(service)
    service.request("GET", "/health")
    before = process.memory_info().rss
    with ExitStack() as stack:
        for number in range(IDLE):
            client = stack.enter_context(raw(service.port))
            if number % 2:
                client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                client.read_until(rb'"ok"[\s\S]*\}')
        kept = min(IDLE, 8_990)
        check_soon(lambda: metric(service, "ticket_connections") >= kept, True, 30)
        grown = process.memory_info().rss - before
        times = [seconds_of_health(service) for _ in range(100)]
        assert (metric(service, "ticket_connections_cut_off_total") == 0) == (kept == IDLE)
    print(
        f"{IDLE} idle connections: {grown / IDLE / 1024:.1f} KiB each; /health in the median"
        f" {sorted(times)[50] * 1000:.2f} ms, at most {max(times) * 1000:.2f} ms"
    )
    assert grown / IDLE < 60_000
    assert max(times) < 1
    check_soon(lambda: metric(service, "ticket_connections") < 10, True, 30)
    service.kill()


def seconds_of_health(service: Service) -> float:
    started = time.monotonic()
    assert service.request("GET", "/health").status == 200
    return time.monotonic() - started


def test_who_is_gone_without_a_word_is_forgotten(browser: Browser, start_service: StartService):
    """Half-open connections: nothing comes any more, no end either. Who answers pings stays."""
    service = start_service(app="tests.support.short_pings:app")
    stays = browser.connect(service.url)
    polling = Polling(service)
    with websocket(service.port) as gone:
        assert gone.ended()
    check_soon(lambda: polling.get().status, 400)
    time.sleep(2)  # some more pings
    assert stays.heard("#disconnect") == []
    assert troubles(service) == []
    service.kill()
