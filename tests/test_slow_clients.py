"""Clients that send slowly, too much, or nothing: each has an end, and none takes others' place."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from dev.processes import ProcessFailed
from tests.support.buyers import token_for
from tests.support.service import Service
from tests.support.tokens import UUID
from tests.support.websocket import handshake, raw, websocket
from tests.support.wire import check_soon

StartService = Callable[..., Service]

HEAD_TIMEOUT, BODY_TIMEOUT = 10, 20
PLACES = 100
"""Of an instance that may open 300 files."""

REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def head(*lines: str, method: str = "GET", path: str = "/api/v1/events") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def status_of(connection: socket.socket) -> int | None:
    """The status of the answer that ends the connection, None without one; checks its shape."""
    with connection.makefile("rb") as stream:
        answer = stream.read()
    if not answer:
        return None
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in top.lower()
    assert json.loads(body).keys() >= {"success", "error", "message", "code", "requestId"}
    return int(top.split()[1])


def drip(connection: socket.socket, data: bytes, until: float) -> None:
    """Send a byte every tenth of a second, as long as the server takes them."""
    for byte in data:
        try:
            connection.sendall(bytes([byte]))
        except OSError:
            return
        if time.monotonic() > until:
            return
        time.sleep(0.1)


def send_all(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes."""
    with suppress(OSError):
        connection.sendall(data)


@contextmanager
def dripping(connection: socket.socket, data: bytes) -> Iterator[None]:
    """Drip while the block runs."""
    until = time.monotonic() + 60
    thread = threading.Thread(target=drip, args=(connection, data, until), daemon=True)
    thread.start()
    yield


@pytest.mark.parametrize(
    "beginning",
    [b"GET /api", b"GET /health HTTP/1.1\r\nX: ", REQUEST + b"GET /api"],
    ids=["request line", "fields", "second request"],
)
def test_a_head_must_be_whole_within_ten_seconds(service: Service, beginning: bytes):
    with raw(service.port) as client:
        client.connection.settimeout(30)
        client.send(beginning)
        if beginning.startswith(REQUEST):
            client.read_until(rb'"ok".*\}')
        start = time.monotonic()
        with dripping(client.connection, b"x" * 1_000):
            assert status_of(client.connection) == 408
        assert HEAD_TIMEOUT - 1 < time.monotonic() - start < HEAD_TIMEOUT + 5


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_must_be_whole_within_twenty_seconds(service: Service, chunked: bool):
    lines = ["Content-Type: application/json", f"Authorization: Bearer {token_for()}"]
    lines.append("Transfer-Encoding: chunked" if chunked else "Content-Length: 5000")
    with raw(service.port) as client:
        client.connection.settimeout(40)
        client.send(head(*lines, method="POST", path="/api/v1/reservations"))
        start = time.monotonic()
        with dripping(client.connection, b"1\r\n \r\n" * 1_000 if chunked else b" " * 5_000):
            assert status_of(client.connection) == 408
        assert BODY_TIMEOUT - 1 < time.monotonic() - start < BODY_TIMEOUT + 5


def test_a_slow_body_takes_no_time_from_the_answer(service: Service):
    items = [{"ticketTypeId": UUID, "quantity": 1}]
    body = json.dumps({"eventId": UUID, "items": items}).encode()
    lines = ["Content-Type: application/json", f"Authorization: Bearer {token_for()}"]
    lines += [f"Content-Length: {len(body)}"]
    with raw(service.port) as client:
        client.connection.settimeout(40)
        client.send(head(*lines, method="POST", path="/api/v1/reservations"))
        for start in range(0, len(body), 20):
            client.send(body[start : start + 20])
            time.sleep(1.5)
        client.read_until(rb"EVENT_NOT_FOUND.*\}")


def test_a_body_that_nobody_wants_must_end_too(service: Service):
    with raw(service.port) as client:
        client.connection.settimeout(40)
        client.send(head("Content-Length: 5000", method="POST", path="/api/v1/reservations"))
        client.read_until(rb"AUTHENTICATION_REQUIRED.*\}")
        start = time.monotonic()
        with dripping(client.connection, b" " * 5_000):
            assert client.ended()
        assert time.monotonic() - start < BODY_TIMEOUT + 5


def test_what_follows_a_large_body_that_nobody_wants_is_not_read(service: Service):
    size = 50_000_000

    def send() -> None:
        for _ in range(size // 100_000):
            client.send(b" " * 100_000)
        client.send(REQUEST)
        client.read_until(b"never")

    with raw(service.port) as client:
        client.send(head(f"Content-Length: {size}", method="POST", path="/api/v1/reservations"))
        client.read_until(rb"AUTHENTICATION_REQUIRED.*\}")
        with pytest.raises(ConnectionError):
            send()


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(*[f"X-{i}: 1" for i in range(99)]), 200),
        (head(*[f"X-{i}: 1" for i in range(100)]), 431),
        (head(*[f"X-{i}: {'x' * 7_900}" for i in range(2)]), 200),
        (head(*[f"X-{i}: {'x' * 8_180}" for i in range(2)]), 431),
        (head(f"X-0: {'x' * 8_000}", f"X-1: {'x' * 4_400}", path="/?" + "x" * 4_000), 431),
        (head("Authorization: " + "x" * 8_200), 431),
        (head(path="/api/v1/events?q=" + "x" * 8_200), 414),
        (head() + b" " * 100_000, 200),
    ],
    ids=["fields", "too many", "long", "too long", "line", "field", "URL", "all is not the head"],
)
@pytest.mark.parametrize("piece", [100_000, 1_000, 100])
def test_a_head_has_limits(service: Service, request_head: bytes, status: int, piece: int):
    with raw(service.port) as client:
        for start in range(0, len(request_head), piece):
            try:
                client.send(request_head[start : start + piece])
            except OSError:
                break  # refused already
        answer = client.read_until(rb"HTTP/1.1 \d+ ")
        assert int(answer.split()[1]) == status


def test_an_unfinished_head_takes_little_memory(start_service: StartService):
    service = start_service()
    process = psutil.Process(service.process.pid)
    [worker] = process.children()
    clients = 100
    with ExitStack() as stack:
        connections = [stack.enter_context(raw(service.port)) for _ in range(clients)]
        before = worker.memory_info().rss
        for client in connections:
            client.send(head()[:-4] + b"".join(b"\r\nX-%d: %s" % (i, b"x" * 7_900) for i in (1, 2)))
            for _ in range(80):
                try:
                    client.send(b"\r\nY: " + b"y" * 7_900)
                except OSError:
                    break
        assert service.request("GET", "/health").status == 200
        assert (worker.memory_info().rss - before) / clients < 100_000


def test_many_small_chunks_do_not_hold_the_others_up(service: Service):
    """Neither those of a body that is wanted, nor of one that is not."""
    slowest = 0.0
    lines = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    post = head(*lines, method="POST", path="/api/v1/reservations")
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(raw(service.port))
            client.send(post)
            chunks = b"1\r\n \r\n" * 60_000
            threading.Thread(target=send_all, args=(client.connection, chunks), daemon=True).start()
        for _ in range(20):
            start = time.monotonic()
            assert service.request("GET", "/health").status == 200
            slowest = max(slowest, time.monotonic() - start)
    assert slowest < 1


# Places


def metric(service: Service, name: str) -> float:
    text = service.request("GET", "/metrics").body.decode()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


@pytest.fixture
def small(start_service: StartService) -> Service:
    """An instance with few places."""
    service = start_service(open_files=str(200 + PLACES))
    [line] = [line for line in service.log_lines() if line["message"] == "places for connections"]
    assert line["places"] == PLACES
    return service


@pytest.mark.parametrize(
    "sent", [b"", REQUEST, b"GET /hea", head("Content-Length: 9", method="POST")]
)
def test_waiting_clients_leave_a_place_for_others(small: Service, sent: bytes):
    """Whether they never sent anything, sent a request, half a head, or a head without its body."""
    with ExitStack() as stack:
        clients = []
        for _ in range(3 * PLACES):
            client = stack.enter_context(raw(small.port))
            client.send(sent)
            clients.append(client)
            if len(clients) % PLACES == 0:
                with raw(small.port) as newcomer:
                    newcomer.send(REQUEST)
                    newcomer.read_until(rb"200 OK[\s\S]*\}")
        assert metric(small, "ticket_connections_cut_off_total") >= 2 * PLACES
        # Who waited longest went first, and whoever came last is served.
        clients[-1].send(b"" if sent == REQUEST else b"lth HTTP/1.1\r\nHost: x\r\n\r\n")
        assert clients[0].ended()


def test_a_request_that_is_served_is_not_cut_off(small: Service):
    with ExitStack() as stack:
        poll = stack.enter_context(raw(small.port))
        poll.send(head(path="/socket.io/?EIO=4&transport=polling"))
        opened = poll.read_until(rb'"sid":"[^"]+".*\}(\r\n0\r\n\r\n)?')
        sid = opened.partition(b'"sid":"')[2].partition(b'"')[0].decode()
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        poll.send(head(path=path))  # waits for news
        for _ in range(2 * PLACES):
            stack.enter_context(raw(small.port))
        other = stack.enter_context(raw(small.port))
        other.send(head("Content-Length: 1", method="POST", path=path) + b"1")  # goodbye
        assert b"200 OK" in poll.read_until(rb"HTTP/1.1 200 OK")


def test_web_sockets_leave_places_for_requests(small: Service):
    with ExitStack() as stack:
        for _ in range(PLACES * 8 // 10):
            stack.enter_context(websocket(small.port))
        refused = stack.enter_context(raw(small.port))
        refused.send(handshake())
        answer = refused.read_until(rb"\}")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in answer
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"] == "SERVICE_UNAVAILABLE"
        assert small.request("GET", "/health/ready").status == 200

    def opened() -> bool:
        with raw(small.port) as client:
            client.send(handshake())
            return b" 101 " in client.read_until(rb"HTTP/1.1 \d+ ")

    check_soon(opened, True, 5)  # the others are gone


def test_too_few_files_are_said_at_start(start_service: StartService):
    with pytest.raises(ProcessFailed, match="open files"):
        start_service(open_files="220")
