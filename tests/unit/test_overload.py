"""When an instance counts as overloaded, and whom it refuses then: with real connections."""

import socket
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from ticket_service.server import overload
from ticket_service.server.overload import Overload

GET = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"

LONG = 0.15
"""Seconds that count as a long wait here."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with shorter times."""
    monkeypatch.setattr(overload, "LONG_WAIT_MS", LONG * 1000 - 50)
    monkeypatch.setattr(overload, "MIN_SECONDS", 0.3)


@pytest.fixture
def asked() -> Iterator[Callable[[bytes], socket.socket]]:
    """Sends a request, and gives the server's side of the connection."""
    opened = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def ask(request: bytes) -> socket.socket:
            client = socket.create_connection(server.getsockname())
            client.sendall(request)
            accepted, _ = server.accept()
            opened.extend([client, accepted])
            return accepted

        yield ask
        for each in opened:
            each.close()


@pytest.fixture
def overloaded() -> Overload:
    """An instance that is overloaded."""
    found = Overload()
    found.present = True
    return found


def refusals(found: Overload, connection: socket.socket, head: bytes = GET) -> list[bool]:
    """Ask it more often than anybody is let in in one turn of the event loop."""
    return [found.refuses(connection, head) for _ in range(overload.EACH_TURN + 2)]


def test_it_is_overloaded_when_very_many_have_waited_for_long(
    asked: Callable[[bytes], socket.socket],
):
    found, late = Overload(), asked(GET)
    time.sleep(LONG)
    for _ in range(overload.MIN_REQUESTS):
        assert not found.refuses(late, GET)
    assert not found.present  # a burst may be over soon
    time.sleep(overload.MIN_SECONDS)
    assert not found.refuses(late, GET)
    assert found.present
    assert refusals(found, late)[-1]


def test_one_request_that_has_not_waited_shows_that_it_is_not(
    asked: Callable[[bytes], socket.socket],
):
    found, late = Overload(), asked(GET)
    time.sleep(LONG)
    for _ in range(overload.MIN_REQUESTS):
        found.refuses(late, GET)
    found.refuses(asked(GET), GET)
    time.sleep(overload.MIN_SECONDS)
    found.refuses(late, GET)
    assert not found.present


def test_it_is_not_when_few_have_waited(asked: Callable[[bytes], socket.socket]):
    found, late = Overload(), asked(GET)
    time.sleep(LONG)
    for _ in range(overload.MIN_REQUESTS - 2):
        found.refuses(late, GET)
    time.sleep(overload.MIN_SECONDS)
    found.refuses(late, GET)
    assert not found.present


def test_a_few_are_let_in_in_each_turn_however_long_they_have_waited(
    asked: Callable[[bytes], socket.socket], overloaded: Overload
):
    late = asked(GET)
    time.sleep(0.05)
    for _ in range(2):
        gevent.sleep(0.001)  # the next turn
        assert refusals(overloaded, late) == [*[False] * overload.EACH_TURN, True, True]


def test_a_turn_is_full_when_the_next_has_not_waited_for_long(
    asked: Callable[[bytes], socket.socket], overloaded: Overload
):
    late = asked(GET)
    time.sleep(0.05)
    refusals(overloaded, late)
    assert not overloaded.turn_is_full()  # others who wait are to be refused
    assert not overloaded.refuses(asked(GET), GET)
    assert overloaded.turn_is_full()
    gevent.sleep(0.001)  # the next turn
    assert not overloaded.turn_is_full()


@pytest.mark.parametrize(
    "target",
    ["/health", "/health/live", "/metrics", "/api/v1/internal/audit", "/socket.io/?EIO=4&sid=a"],
)
def test_probes_services_and_open_sessions_are_never_refused(
    asked: Callable[[bytes], socket.socket], overloaded: Overload, target: str
):
    head = b"GET " + target.encode() + b" HTTP/1.1\r\n\r\n"
    late = asked(head)
    time.sleep(0.05)
    assert not any(refusals(overloaded, late, head))


@pytest.mark.parametrize("target", ["/", "/api/v1/seats/reserve?/health", "/socket.io/?EIO=4"])
def test_others_are_refused(
    asked: Callable[[bytes], socket.socket], overloaded: Overload, target: str
):
    head = b"POST " + target.encode() + b" HTTP/1.1\r\n\r\n"
    late = asked(head)
    time.sleep(0.05)
    assert refusals(overloaded, late, head)[-1]


def test_a_refusal_is_a_whole_answer_that_pages_of_allowed_origins_may_read(overloaded: Overload):
    overloaded.allow(["https://tickets.example"])
    head, _, body = overloaded.answer(GET).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5\r\n" in head
    assert b"\r\nConnection: close\r\n" in head
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    [request_id] = [line[14:] for line in head.split(b"\r\n") if line.startswith(b"X-Request-ID: ")]
    assert request_id in body
    assert request_id not in overloaded.answer(GET)
    assert b"Access-Control" not in head
    ours = GET[:-2] + b"origin: https://tickets.example\r\n\r\n"
    assert b"\r\nAccess-Control-Allow-Origin: https://tickets.example\r\n" in overloaded.answer(
        ours
    )
    theirs = GET[:-2] + b"Origin: https://elsewhere.example\r\n\r\n"
    assert b"Access-Control" not in overloaded.answer(theirs)


def test_a_connection_that_is_turned_away_gets_the_refusal(
    asked: Callable[[bytes], socket.socket], overloaded: Overload
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        assert not overloaded.turns_away(accepted)  # nothing is there yet
        client.sendall(GET)
        time.sleep(0.05)
        refusals(overloaded, accepted)
        assert overloaded.turns_away(accepted)
        accepted.close()
        assert client.recv(4096).startswith(b"HTTP/1.1 503 ")
        client.close()
