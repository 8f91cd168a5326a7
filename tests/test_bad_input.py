"""What no client should send: refused in the one shape, with nothing changed and never a 500."""

import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.buyers import token_for
from tests.support.factories import Event, section, ticket
from tests.support.service import Service
from tests.support.wire import check_error, each, is_korean

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

MALFORMED_IDS = [
    "abc",
    UUID[:-1],
    UUID + "0",
    UUID.replace("0", "g"),
    UUID.replace("-", ""),
    UUID.replace("-", "_"),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
    f" {UUID}",
    f"{UUID}\n",
    f"{UUID}\0",
    "\0",
    "\N{ARABIC-INDIC DIGIT ONE}" * 8 + UUID[8:],
    "1 OR 1=1",
]

# In the body only: a path cannot be empty and has no types.
NOT_IDS: list[object] = [*MALFORMED_IDS, "", None, 5, True, [], {}, [UUID]]

PUBLIC_READS = [
    "/events/{}",
    "/tickets/event/{}",
    "/tickets/availability/{}",
    "/seats/events/{}",
]
OWN_READS = ["/seats/reservation/{}", "/reservations/{}"]

READS = [
    "/api/v1/events",
    f"/api/v1/events/{UUID}",
    f"/api/v1/tickets/event/{UUID}",
    f"/api/v1/tickets/availability/{UUID}",
    "/api/v1/seats/layouts",
    f"/api/v1/seats/events/{UUID}",
    f"/api/v1/seats/reservation/{UUID}",
    "/api/v1/reservations/my",
    f"/api/v1/reservations/{UUID}",
    f"/api/v1/queue/status/{UUID}",
    "/api/v1/internal/audit",
    "/health",
]
QUEUE_WRITES = [
    "/queue/check/{}",
    "/queue/heartbeat/{}",
    "/queue/leave/{}",
    "/queue/admin/clear/{}",
]
WRITES = [
    "/api/v1/seats/reserve",
    "/api/v1/reservations",
    f"/api/v1/reservations/{UUID}/cancel",
    *(f"/api/v1{path.format(UUID)}" for path in QUEUE_WRITES),
    f"/api/v1/internal/reservations/{UUID}/payment",
]
METHODS = [
    *((path, {"GET", "HEAD", "OPTIONS"}) for path in READS),
    *((path, {"POST", "OPTIONS"}) for path in WRITES),
    (f"/api/v1/queue/admin/{UUID}", {"GET", "HEAD", "PUT", "OPTIONS"}),
]


@pytest.fixture
def event(make_event: Callable[..., Event], database: Connection) -> Iterator[Event]:
    """An event that can be booked; in the end nobody must have booked anything of it."""
    event = make_event(sections=[section(seats=10)], tickets=[ticket(total=100)])
    yield event
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM reservations WHERE event_id = %s", (event.id,))
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT DISTINCT status FROM seats WHERE event_id = %s", (event.id,))
        assert cursor.fetchall() == [("available",)]
        cursor.execute(
            "SELECT available_quantity FROM ticket_types WHERE event_id = %s", (event.id,)
        )
        assert cursor.fetchall() == [(100,)]


def seat_order(event: Event) -> dict[str, Any]:
    """A body that `POST /seats/reserve` would accept."""
    return {"eventId": event.id, "seatIds": event.seat_ids[:1]}


def ticket_order(event: Event) -> dict[str, Any]:
    """A body that `POST /reservations` would accept."""
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    return {"eventId": event.id, "items": items}


MakeOrder = Callable[[Event], dict[str, Any]]

ORDERS: list[tuple[str, MakeOrder]] = [
    ("/seats/reserve", seat_order),
    ("/reservations", ticket_order),
]

orders = pytest.mark.parametrize(("path", "order"), ORDERS, ids=["seats", "tickets"])


# Bodies


@orders
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'eventId': 1}",
        b'{"eventId": NaN}',
        b'{"eventId": "\xff"}',
        b'{"eventId": "\\ud800"}',
        b'{"eventId": "\\udc00\\ud800"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{}{}",
        b"[" * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
        b"9" * 20_000,
        b"[]",
        b"null",
        b"true",
        b"5",
        b'"text"',
        b"[{}]",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_must_be_a_json_object(
    service: Service, event: Event, path: str, order: MakeOrder, body: bytes
):
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=body, headers=json_type)
    check_error(answer, 400, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ";"],
)
def test_a_body_must_say_that_it_is_json(
    service: Service, event: Event, path: str, order: MakeOrder, content_type: str | None
):
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps(order(event))
    answer = service.post(path, token=token_for(), body=body, headers=headers)
    check_error(answer, 415, "VALIDATION_ERROR")


@orders
def test_a_huge_body_is_refused(service: Service, event: Event, path: str, order: MakeOrder):
    body = json.dumps(order(event)) + " " * 100_000
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=body, headers=json_type)
    check_error(answer, 413, "VALIDATION_ERROR")


@orders
def test_a_huge_body_of_unknown_length_is_refused(
    service: Service, event: Event, path: str, order: MakeOrder
):
    chunks = [json.dumps(order(event)).encode(), *[b" " * 1_000] * 100]
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=iter(chunks), headers=json_type)
    check_error(answer, 413, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize("wrong", NOT_IDS, ids=repr)
def test_an_event_id_in_a_body_must_be_a_uuid(
    service: Service, event: Event, path: str, order: MakeOrder, wrong: object
):
    body = {**order(event), "eventId": wrong}
    error = check_error(service.post(path, token=token_for(), json=body), 400, "VALIDATION_ERROR")
    assert error["details"].keys() == {"eventId"}


@orders
def test_every_field_is_needed(service: Service, event: Event, path: str, order: MakeOrder):
    whole = order(event)
    for name in whole:
        body = {field: value for field, value in whole.items() if field != name}
        answer = service.post(path, token=token_for(), json=body)
        assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


@orders
def test_an_unknown_field_is_refused(service: Service, event: Event, path: str, order: MakeOrder):
    answer = service.post(path, token=token_for(), json={**order(event), "price": 1})
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"price"}


@pytest.mark.parametrize("wrong", NOT_IDS, ids=repr)
def test_a_seat_id_must_be_a_uuid(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "seatIds": [event.seat_ids[0], wrong]}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize("wrong", [None, {}, "text", 5, True, UUID, {"0": UUID}], ids=repr)
def test_seat_ids_must_be_a_list(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "seatIds": wrong}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize(
    "choose",
    [
        lambda seats: [],
        lambda seats: seats[:5],
        lambda seats: seats[:1] * 2,
        lambda seats: [seats[0], seats[1], seats[0]],
        lambda seats: [seats[0], seats[0].upper()],
        lambda seats: [str(uuid4()) for _ in range(1_001)],
    ],
    ids=["none", "too many", "twice", "twice apart", "twice in other case", "far too many"],
)
def test_one_to_four_seats_once_each(
    service: Service, event: Event, choose: Callable[[list[str]], list[str]]
):
    body = {"eventId": event.id, "seatIds": choose(event.seat_ids)}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize(
    "wrong",
    [None, {}, "text", 5, True, [], [None], [5], ["text"], [[]], [{}], [{"quantity": 1}]],
    ids=repr,
)
def test_items_must_be_a_list_of_lines(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "items": wrong}
    answer = service.post("/reservations", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"items"}


@pytest.mark.parametrize(
    "line",
    [
        *each("ticketTypeId", *NOT_IDS),
        *each("quantity", 0, -1, 11, True, "1", 1.5, 1.0, None, [], 2**31, 2**63, 2**64, 10**400),
        {"price": 1},
    ],
    ids=lambda line: repr(line)[:50],
)
def test_a_line_must_name_a_ticket_type_and_a_quantity(
    service: Service, event: Event, line: dict[str, object]
):
    order = ticket_order(event)
    order["items"][0].update(line)
    answer = service.post("/reservations", token=token_for(), json=order)
    check_error(answer, 400, "VALIDATION_ERROR")


def test_lines_of_one_ticket_type_do_not_set_each_other_off(service: Service, event: Event):
    order = ticket_order(event)
    order["items"] += [{**order["items"][0], "quantity": quantity} for quantity in (2, -2)]
    answer = service.post("/reservations", token=token_for(), json=order)
    check_error(answer, 400, "VALIDATION_ERROR")


def test_too_many_lines_are_refused(service: Service, event: Event):
    lines = [{"ticketTypeId": str(uuid4()), "quantity": 1} for _ in range(101)]
    body = {"eventId": event.id, "items": lines}
    answer = service.post("/reservations", token=token_for(), json=body)
    check_error(answer, 400, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "a\tb", "é", "\xff"])
def test_an_idempotency_key_is_a_word(
    service: Service, event: Event, path: str, order: MakeOrder, key: str
):
    headers = {"Idempotency-Key": key}
    answer = service.post(path, token=token_for(), json=order(event), headers=headers)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"Idempotency-Key"}


# Queries, paths and methods


@pytest.mark.parametrize("path", ["/events", "/reservations/my"])
@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-1",
        "9223372036854775808",
        "1" * 400,
        "1.5",
        "1.0",
        "abc",
        "",
        "%20",
        "1e1",
        "0x1",
        "%2B1",
        "1%00",
        "%00",
        "%D9%A1",
        "%EF%BC%91",
        "true",
        "null",
        "1,2",
        "1%0A",
        "%FF",
    ],
)
def test_a_page_is_a_whole_number_from_one(service: Service, path: str, name: str, value: str):
    answer = service.get(f"{path}?{name}={value}", token=token_for())
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


@pytest.mark.parametrize("path", ["/events", "/reservations/my"])
def test_a_page_has_a_hundred_lines_at_most(service: Service, path: str):
    assert service.get(f"{path}?limit=100", token=token_for()).status == 200
    check_error(service.get(f"{path}?limit=101", token=token_for()), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "query",
    [
        "status=sold",
        "status=ON_SALE",
        "status=on_sale%00",
        "status=on_sale,ended",
        "q=%00",
        "q=a%00b",
        "q=" + "x" * 256,
        "q=x&page=0",
    ],
)
def test_a_query_of_the_events_that_means_nothing_is_refused(service: Service, query: str):
    check_error(service.get(f"/events?{query}"), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("query", ["q=%FF", "q=%ED%A0%80", "q=%", "q=%zz", "&&=&", "page[]=0"])
def test_a_query_that_is_badly_encoded_does_no_harm(service: Service, query: str):
    assert service.get(f"/events?{query}").status == 200


@pytest.mark.parametrize("path", PUBLIC_READS + OWN_READS)
@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_in_a_path_must_be_a_uuid(service: Service, path: str, wrong: str):
    answer = service.get(path.format(quote(wrong)), token=token_for())
    check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_to_cancel_must_be_a_uuid(service: Service, wrong: str):
    answer = service.post(f"/reservations/{quote(wrong)}/cancel", token=token_for())
    check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_of_a_waiting_room_must_be_a_uuid(service: Service, wrong: str):
    token = token_for(role="admin")
    for path in QUEUE_WRITES:
        answer = service.post(path.format(quote(wrong)), token=token)
        check_error(answer, 400, "VALIDATION_ERROR")
    for path in ("/queue/status/{}", "/queue/admin/{}"):
        answer = service.get(path.format(quote(wrong)), token=token)
        check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/events",
        "/events",
        "/api/v1/events/",
        f"/api/v1/events/{UUID}/",
        f"/api/v1/events/{UUID}/seats",
        "/api/v1/%00",
        "/api/v1/events%00",
        "/api/v1/%FF",
        "/health/",
        "/health/nothing",
    ],
)
def test_an_unknown_address_is_not_found(service: Service, path: str):
    for method in ("GET", "POST"):
        check_error(service.request(method, path, token=token_for()), 404, "NOT_FOUND")


@pytest.mark.parametrize(("path", "allowed"), METHODS)
def test_a_wrong_method_is_refused_with_the_right_ones(
    service: Service, path: str, allowed: set[str]
):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"} - allowed:
        answer = service.request(method, path, token=token_for())
        check_error(answer, 405, "VALIDATION_ERROR")
        assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(("path", "allowed"), METHODS)
def test_options_lists_the_methods(service: Service, path: str, allowed: set[str]):
    answer = service.request("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_is_get_without_the_body(service: Service, event: Event):
    token = token_for()
    for path in (
        f"/api/v1/events/{event.id}",
        f"/api/v1/seats/events/{event.id}",
        f"/api/v1/tickets/event/{event.id}",
        f"/api/v1/tickets/availability/{event.ticket_type_ids[0]}",
        f"/api/v1/events/{UUID}",
        "/api/v1/reservations/my",
        "/api/v1/nothing",
        "/health",
    ):
        whole = service.request("GET", path, token=token)
        head = service.request("HEAD", path, token=token)
        assert (head.status, head.body) == (whole.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Vary"):
            assert head.headers.get(name) == whole.headers.get(name)


# The language of refusals


@pytest.mark.parametrize(
    ("accept_language", "korean"),
    [
        (None, True),
        ("", True),
        ("ko", True),
        ("ko-KR", True),
        ("ko,en;q=0.5", True),
        ("ko-KR,en;q=0.5", True),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", True),
        ("en;q=0.4,ko;q=0.5", True),
        ("en;q=0", True),
        ("*", True),
        ("fr", True),
        ("nonsense;;q=,=", True),
        ("en", False),
        ("EN", False),
        ("en-GB", False),
        ("en-US,en;q=0.9,ko;q=0.8", False),
        ("en-US,ko;q=0.5", False),
        ("ko;q=0.5,en", False),
        ("fr,en;q=0.1", False),
    ],
)
def test_refusals_are_korean_unless_english_is_preferred(
    service: Service, accept_language: str | None, korean: bool
):
    headers = {} if accept_language is None else {"Accept-Language": accept_language}
    error = check_error(service.get("/nothing", headers=headers), 404, "NOT_FOUND")
    assert is_korean(error["error"]) is korean


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/events?page=0", {}, 400, "VALIDATION_ERROR"),
        ("GET", "/events/x", {}, 400, "VALIDATION_ERROR"),
        ("GET", f"/events/{UUID}", {}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/seats/events/{UUID}", {}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/tickets/availability/{UUID}", {}, 404, "TICKET_TYPE_NOT_FOUND"),
        ("GET", "/reservations/my", {}, 401, "AUTHENTICATION_REQUIRED"),
        ("GET", "/reservations/my", {"token": "x"}, 401, "INVALID_TOKEN"),
        ("GET", "/reservations/my", {"token": token_for(exp=1)}, 401, "TOKEN_EXPIRED"),
        ("GET", f"/reservations/{UUID}", {"token": "valid"}, 404, "RESERVATION_NOT_FOUND"),
        ("POST", f"/queue/check/{UUID}", {"token": "valid"}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/queue/admin/{UUID}", {"token": "valid"}, 403, "FORBIDDEN"),
        ("POST", "/reservations", {"token": "valid", "body": "{}"}, 415, "VALIDATION_ERROR"),
        ("POST", "/reservations", {"token": "valid", "json": {}}, 400, "VALIDATION_ERROR"),
        ("POST", "/events", {}, 405, "VALIDATION_ERROR"),
        ("GET", "/nothing", {}, 404, "NOT_FOUND"),
    ],
)
def test_every_refusal_speaks_both_languages(
    service: Service, method: str, path: str, options: dict[str, Any], status: int, code: str
):
    if options.get("token") == "valid":
        options = {**options, "token": token_for()}
    for language, korean in (("ko", True), ("en", False)):
        headers = {"Accept-Language": language}
        answer = service.request(method, f"/api/v1{path}", headers=headers, **options)
        assert is_korean(check_error(answer, status, code)["error"]) is korean


# Below the application: what the HTTP server itself cannot take


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


# Anything at all


def test_random_requests_never_break_the_service(service: Service, event: Event):
    chance = random.Random(20261122)
    token = token_for()

    def noise(longest: int) -> bytes:
        return chance.randbytes(chance.randint(0, longest))

    def damaged(text: str) -> bytes:
        """The text with a few bytes replaced, and often cut off."""
        raw = bytearray(text.encode())
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        return bytes(raw[: chance.randint(1, 2 * len(raw))])

    def check(method: str, path: str, **options: Any) -> None:
        answer = service.request(method, f"/api/v1{path}", token=token, **options)
        assert answer.status < 500, (method, path, options, answer.body)
        if answer.status >= 400:
            check_error(answer, answer.status, answer.json()["code"])

    for _ in range(100):
        path, order = chance.choice(ORDERS)
        unknown = {**order(event), "eventId": UUID}  # so that none of them books anything
        body = chance.choice([noise(200), damaged(json.dumps(unknown))])
        check("POST", path, body=body, headers={"Content-Type": "application/json"})
        name = chance.choice(["page", "limit", "q", "status", quote(noise(5))])
        check("GET", f"/events?{name}={quote(noise(40))}")
        check("GET", f"/reservations/my?{name}={quote(noise(10))}")
        check("GET", chance.choice(PUBLIC_READS + OWN_READS).format(quote(noise(40), safe="")))
        header = chance.choice(["Accept-Language", "Accept-Encoding", "If-None-Match", "Origin"])
        text = "".join(chance.choices('enkogzip*;,=.019-W/"\\ \t\xe9\xff', k=30))
        check("GET", f"/seats/events/{event.id}", headers={header: text})
