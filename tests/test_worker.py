"""The worker: stopping."""

import socket
import time


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
