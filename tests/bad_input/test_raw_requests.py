"""Below the application: what the HTTP server itself cannot take."""

import json
import socket

import pytest

from tests.support.buyers import token_for
from tests.support.service import Service
from tests.support.wire import is_korean

POST = "POST /api/v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("\0\r\n\r\n", 400),
        ("GET /api/v1/events HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        ("GET /api/v1/events HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (f"{POST}Content-Length: many\r\n\r\n", 400),
        (f"{POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (f"{POST}Authorization: Bearer {{token}}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (f"GET /api/v1/events?q={'x' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {'x' * 9_000}\r\n\r\n", 431),
    ],
    ids=["no request", "version", "header", "length", "two lengths", "chunk", "URL", "header size"],
)
def test_what_is_not_http_is_refused_in_the_same_shape(
    service: Service, request_text: str, status: int
):
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(request_text.format(token=token_for()).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    lines = head.decode().splitlines()
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    assert lines[0].split()[1] == str(status)
    error = json.loads(body)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["requestId"] == headers["x-request-id"]
    assert is_korean(error["error"])


def answer_to(service: Service, request_text: str) -> tuple[int, bytes]:
    """The status and the body of the answer to one raw request."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(request_text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "SCRIPT-NAME", "PATH_INFO"])
@pytest.mark.parametrize("value", ["/api", "/api/v1/events", "/x", "/", "x", ""])
def test_a_client_cannot_shift_the_path(service: Service, name: str, value: str):
    for path, kind in (("/api/v1/events?q=shift", b'"events"'), ("/health", b'"ticket-service"')):
        for _ in range(2):  # the second time, a document comes from the fast lane
            answer = answer_to(
                service, f"GET {path} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n"
            )
            assert answer[0] == 200
            assert kind in answer[1]


@pytest.mark.parametrize(
    "headers",
    [
        "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Port: 1\r\n",
        "Authorization: \r\nAuthorization_: x\r\nX_Internal_Token: x\r\n",
    ],
)
def test_what_a_proxy_would_say_changes_nothing(service: Service, headers: str):
    status, body = answer_to(service, f"GET /health HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
    assert status == 200
    assert b"ticket-service" in body


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://x/api/v1/events", 200),
        ("http://x.example:99999/api/v1/events", 200),
        ("http://[::1/api/v1/events", 400),
        ("http://x", 404),
        ("x:80", 400),
        ("*", 400),
        ("/api/v1/%65vents", 200),
        ("/api/v1/events#part", 200),
        ("/api/v1/x/%2e%2e/events", 404),
        ("/api/v1/x/../events", 404),
        ("/api/v1//events", 404),
        ("//api/v1/events", 200),
        ("/api/v1/events%00", 404),
        ("/api/v1/\xe9vents", 400),
        ("/api/v1/events?q=\xe9", 400),
        ("/api/v1/events\0", 400),
        ("/api/v1/%ff%fe", 404),
        ("/%2fmetrics", 200),
        ("/socket.io/%00", 400),
    ],
)
def test_a_strange_target_does_no_harm(service: Service, target: str, status: int):
    for _ in range(2):
        answer = answer_to(service, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer[0] == status, answer
        if status in (400, 404) and "socket.io" not in target:
            assert json.loads(answer[1])["success"] is False


@pytest.mark.parametrize("host", ["", "a b", "é", "x:y:z", "[::1", "x/../y", "x@y", "x" * 5_000])
def test_a_strange_host_does_no_harm(service: Service, host: str):
    for path in ("/api/v1/events", "/api/v1/nothing", "/health", "/api/v1/docs"):
        status, _ = answer_to(service, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert status in (200, 400, 404)
    assert answer_to(service, "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")[0] == 400
