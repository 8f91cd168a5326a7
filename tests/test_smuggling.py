"""Requests within requests: directly, and behind nginx, which keeps its connections to us."""

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest

from dev.servers import Servers
from tests.support import nginx
from tests.support.buyers import token_for
from tests.support.service import Service, run_service
from tests.support.smuggling import BEHIND, BROKEN, ID, PAIRS, REFUSED, TOKEN, WITHIN, Pair
from tests.support.wire import check_soon


@pytest.fixture(scope="module")
def target(servers: Servers, folder: Path) -> Iterator[Service]:
    """An instance that nobody else calls."""
    with run_service(folder) as instance:
        yield instance
        instance.kill()


def request(pair: Pair, inner_id: str, *, token: bool) -> bytes:
    header = f"Authorization: Bearer {token_for()}\r\n" if token else ""
    return pair.sent.replace(TOKEN, header).replace(ID, inner_id).encode("latin-1")


def seen(service: Service) -> list[str]:
    """The ids of all requests that the service has answered."""
    return [line["request_id"] for line in service.log_lines() if line["message"] == "request"]


def statuses(port: int, sent: bytes) -> list[int]:
    """Send it all, and return the status of each answer until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answers = b""
        with suppress(ConnectionError):
            while data := connection.recv(65_536):
                answers += data
    found = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]
    return [status for status in found if status != 100]


@pytest.mark.parametrize("token", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_a_pair_is_taken_in_one_way(target: Service, pair: Pair, token: bool):
    inner_id, next_id, last_id = uuid4().hex, uuid4().hex, uuid4().hex
    following = f"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: {next_id}\r\n\r\n".encode()
    answers = statuses(target.port, request(pair, inner_id, token=token) + following)
    first, *rest = answers
    if pair.taken == REFUSED or (pair.taken == BROKEN and token):
        assert first == 400
    expected = {WITHIN: [200], BEHIND: [200, 200]}.get(pair.taken, [])
    assert rest == expected, answers
    target.request("GET", "/health", headers={"X-Request-ID": last_id})
    check_soon(lambda: last_id in seen(target), True)
    assert (inner_id in seen(target)) == (pair.taken == BEHIND)
    assert (next_id in seen(target)) == (pair.taken in (WITHIN, BEHIND))


# Behind nginx


CLOSING = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def attack(port: int, sent: bytes, patience: float = 0.5) -> None:
    """Send it, and read what comes back, until nothing comes for `patience` seconds."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=patience) as connection,
    ):
        connection.sendall(sent + CLOSING)
        while connection.recv(65_536):
            pass


def check_own_answer(port: int, limit: int) -> None:
    """Fail unless somebody else gets the answer to their own request."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = f"GET /api/v1/events?limit={limit} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert f'"limit":{limit},'.encode() in answer.replace(b" ", b"")


def strangers(service: Service, logged: int, front: nginx.Front) -> list[str]:
    """The requests that the service has seen and nginx has not sent, or that it has seen twice.

    Also, as "?", those that it could not read, if they are more than nginx has no answer of.
    """
    lines = service.log_lines()[logged:]
    answered = Counter(line["request_id"] for line in lines if line["message"] == "request")
    unread = sum(line["message"] == "not a request" for line in lines)
    sent = Counter(front.forwarded())
    found = sorted((answered - sent).elements())
    return found + ["?"] * (unread - len(sent - answered))


@pytest.fixture
def _needs_nginx() -> None:
    if nginx.PROGRAM is None:
        pytest.skip("nginx is not installed")


@pytest.mark.usefixtures("_needs_nginx")
@pytest.mark.parametrize("lenient", [False, True], ids=["usual", "lenient"])
def test_behind_nginx_the_service_sees_what_nginx_has_sent(
    target: Service, folder: Path, lenient: bool
):
    logged = len(target.log_lines())
    with nginx.run_nginx(folder, target.port, lenient=lenient) as front:
        with ThreadPoolExecutor(8) as pool:
            attacks = [
                pool.submit(attack, front.port, request(pair, uuid4().hex, token=token))
                for pair in PAIRS.values()
                for token in (True, False)
            ]
            limits = cycle(range(1, 101))
            while not all(one.done() for one in attacks):
                check_own_answer(front.port, next(limits))
        for one in attacks:
            one.result()
        check_soon(lambda: strangers(target, logged, front) == [], True)
        assert len(front.forwarded()) > len(PAIRS)


@pytest.mark.usefixtures("_needs_nginx")
def test_a_service_that_reads_no_body_of_a_get_is_found_out(
    start_service: Callable[..., Service], folder: Path
):
    """Not each time: nginx may close the connection before the service has read what follows."""
    service = start_service(app="tests.support.unguarded:app", UNGUARDED="bodies of a GET")
    logged = len(service.log_lines())

    def smuggled() -> bool:
        inner_id = uuid4().hex
        attack(front.port, request(PAIRS["a GET with a body"], inner_id, token=False))
        return inner_id in strangers(service, logged, front)

    with nginx.run_nginx(folder, service.port, lenient=False) as front:
        check_soon(smuggled, True, 30)
    service.kill()
