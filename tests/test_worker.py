"""The worker: slow clients, and stopping."""

import socket
import time

from tests.support.buyers import token_for
from tests.support.factories import section


def test_idle_connections_do_not_hold_up_a_stop(start_service):
    service = start_service()
    idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(3)]
    for connection in idle[1:]:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < 10  # graceful_timeout is 25
    for connection in idle:
        connection.close()


def test_a_client_may_not_keep_a_request_open(service, make_event):
    """Neither by sending nothing, nor by reading nothing; other connections may be idle longer."""
    event = make_event(sections=[section(rows=50, seats=100)])
    address = ("127.0.0.1", service.port)
    silent, idle = socket.create_connection(address), socket.create_connection(address)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(address)
    with silent, idle, deaf:
        get = f"GET /api/v1/seats/events/{event.id} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        deaf.sendall(get.encode() * 8)
        silent.settimeout(20)
        head = [
            "POST /api/v1/reservations HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Authorization: Bearer {token_for()}",
            "Content-Length: 50",
        ]
        silent.sendall("\r\n".join([*head, "", ""]).encode())
        assert silent.recv(100).split()[1] == b"408"
        lines = [line["message"] for line in service.log_lines()]
        deadline = time.monotonic() + 10
        while "client too slow" not in lines and time.monotonic() < deadline:
            time.sleep(0.1)
            lines = [line["message"] for line in service.log_lines()]
        assert "client too slow" in lines
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(100).split()[1] == b"200"
