"""Strings that could mean something to SQL, Lua, a log, a header or a room: each is kept as it is,
or refused. None of them is ever in the log."""

import json
import re
import socket
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import Servers
from tests.support import internal
from tests.support.buyers import token_for
from tests.support.factories import MakeEvent, section, ticket
from tests.support.service import Service, run_service
from tests.support.websocket import TEXT, newcomer
from tests.support.wire import check_error, check_soon

MARK = "zq7~mark"
"""In each string, and in nothing else."""

HOSTILE = {
    "SQL": f"{MARK}'; DROP TABLE events; --",
    "a quote of SQL": f"{MARK}$$ || pg_sleep(9) || $$",
    "a parameter of SQL": f"{MARK} $1 %s %(q)s %%",
    "a pattern of SQL": f"{MARK}_%\\_\\",
    "a statement of EXECUTE": f"{MARK}'); DELETE FROM seats; ('",
    "Lua": f"{MARK}]]redis.call('FLUSHALL')--[[",
    "RESP": f"{MARK}\r\n*1\r\n$8\r\nFLUSHALL\r\n.",
    "a hash tag": f"{MARK}{{x}}:queue:*?[a-z]",
    "a header": f"{MARK}\r\nSet-Cookie: a=b\r\n\r\n<b>",
    "CR": f"{MARK}\rX: y",
    "LF": f"{MARK}\nX: y",
    "a log line": f'{MARK}"}}\n{{"level":"ERROR","message":"x"}}',
    "ANSI": f"{MARK}\x1b[2J\x1b[31m",
    "a control character of one byte": f"{MARK}\x9b31m\x85.",
    "other control characters": f"{MARK}\x01\x08\x7f.",
    "HTML": f"{MARK}</script><script>alert(1)</script>",
    "templates": f"{MARK}{{{{7*7}}}}${{7*7}}#{{7*7}}",
    "a format": f"{MARK}{{0.__class__}}%n",
    "a lookup": f"{MARK}${{jndi:ldap://x/a}}",
    "a path": f"{MARK}/../../etc/passwd%00",
    "from right to left": f"{MARK}\u202eabc\u2066",
    "lines of JavaScript": f"{MARK}\u2028\u2029.",
    "beyond the first plane": f"{MARK}😀\U0010ffff",
}

each_string = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.fixture(scope="module")
def target(servers: Servers, folder: Path) -> Iterator[Service]:
    with run_service(folder, INTERNAL_API_TOKEN=internal.TOKEN) as instance:
        yield instance
        instance.kill()


@pytest.fixture(autouse=True)
def _nothing_has_happened(target: Service, redis: Redis, database: Connection) -> Iterator[None]:
    """Afterwards the log has only lines of ours, and Redis and the tables are as they were."""
    canary = f"canary:{uuid4()}"
    redis.set(canary, "sings", ex=600)
    logged = target.log.stat().st_size
    yield
    last_id = uuid4().hex
    target.request("GET", "/health", headers={"X-Request-ID": last_id})
    check_soon(lambda: last_id.encode() in target.log.read_bytes()[logged:], True)
    log = target.log.read_bytes()[logged:]
    assert MARK.encode() not in log
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", log)
    for line in log.splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
    assert redis.get(canary) == "sings"
    assert list(redis.scan_iter(match=f"*{MARK}*", count=10_000)) == []
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events")
        assert cursor.fetchall() != [(0,)]


@each_string
def test_a_search_finds_what_has_the_very_text(target: Service, make_event: MakeEvent, text: str):
    number = uuid4().hex
    wanted = make_event(title=f"a {text} {number}")
    make_event(title=f"a {MARK} {number}")
    make_event(title=number)
    found = target.get(f"/events?q={quote(f'{text} {number}')}")
    assert [event["title"] for event in found.json()["events"]] == [wanted.title]


@each_string
def test_names_in_refusals_are_the_very_names(
    target: Service, make_event: MakeEvent, database: Connection, text: str
):
    """They are an organizer's, and an organizer may have been careless, or not be honest."""
    label = text[:20]
    event = make_event(sections=[section()], tickets=[ticket(name=text, total=1)], title=text)
    with database.cursor() as cursor:
        cursor.execute("UPDATE seats SET seat_label = %s WHERE event_id = %s", (label, event.id))
    seats = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    held = target.post("/seats/reserve", token=token_for(), json=seats).json()["reservation"]
    assert held["seats"][0]["seat_label"] == label
    refused = target.post("/seats/reserve", token=token_for(), json=seats)
    error = check_error(refused, 409, "SEAT_ALREADY_RESERVED")
    assert error["details"] == {"seats": [label]}
    assert label in error["error"]
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 2}]
    body = {"eventId": event.id, "items": items}
    error = check_error(
        target.post("/reservations", token=token_for(), json=body), 409, "TICKETS_SOLD_OUT"
    )
    assert error["details"] == {"ticketTypes": [text]}
    assert text in error["error"]
    assert MARK not in str(refused.headers)


@each_string
def test_a_payment_is_recorded_under_its_very_name(
    target: Service, make_event: MakeEvent, database: Connection, text: str
):
    event = make_event(sections=[section()])
    token = token_for()
    order = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    made = target.post("/seats/reserve", token=token, json=order).json()["reservation"]["id"]
    payment_id = f"{text}{uuid4()}"
    answer = internal.tell_payment(target, made, payment_id=payment_id, paymentMethod=text[:50])
    assert answer.status == 200
    seen = target.get(f"/reservations/{made}", token=token).json()["reservation"]
    assert seen["payment_method"] == text[:50].strip()
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT payment_id FROM ticket_service_payments WHERE reservation_id = %s", (made,)
        )
        assert cursor.fetchall() == [(payment_id,)]
    other = internal.tell_payment(target, made, payment_id=f"{payment_id}x")
    assert other.status in (200, 409)


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE.values() if re.fullmatch("[!-~]+", text)], ids=repr
)
def test_a_repeat_is_known_by_its_very_key(target: Service, make_event: MakeEvent, text: str):
    event = make_event(tickets=[ticket()])
    token = token_for()
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]

    def hold(key: str) -> str:
        body = {"eventId": event.id, "items": items}
        headers = {"Idempotency-Key": key}
        answer = target.post("/reservations", token=token, json=body, headers=headers)
        made: str = answer.json()["reservation"]["id"]
        return made

    first = hold(text)
    assert hold(text) == first
    assert hold(text[:-1]) != first


HEADERS = [
    *("X-Request-ID", "Accept-Language", "Accept-Encoding", "If-None-Match", "Origin", "Cookie"),
    *("User-Agent", "Referer", "X-Forwarded-For", "Forwarded", "Access-Control-Request-Headers"),
    *("Content-Type", "Authorization", "Idempotency-Key", "X-Internal-Token", "Traceparent"),
    *("Host", "Upgrade", "Sec-WebSocket-Protocol", "X-HTTP-Method-Override", "X-Original-URL"),
]

ANSWER_HEADERS = {
    *("server", "date", "connection", "content-type", "content-length", "cache-control", "etag"),
    *("x-request-id", "vary", "x-content-type-options", "referrer-policy"),
    *("content-security-policy", "cross-origin-resource-policy", "transfer-encoding"),
}


def answer_to(service: Service, head: bytes) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            top, _, body = stream.read().partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


@each_string
def test_a_header_is_in_no_answer(target: Service, text: str):
    paths = cycle(["/health", "/api/v1/reservations/my", "/nothing", "/api/v1/queue/status/x"])
    for name, path in zip(HEADERS, paths, strict=False):
        head = f"GET {path} HTTP/1.1\r\n"
        head += "" if name == "Host" else "Host: x\r\n"
        lines = f"{head}{name}: {text}\r\n\r\n".encode()
        status, headers, body = answer_to(target, lines)
        assert status in (200, 400, 401, 404), (name, status)
        assert headers.keys() <= ANSWER_HEADERS
        assert MARK not in str(headers)
        assert MARK.encode() not in body


@each_string
def test_an_address_is_in_no_answer(target: Service, text: str):
    part = quote(text, safe="")
    for path in (f"/{part}", f"/api/v1/events/{part}", f"/api/v1/events?{part}={part}&page=0"):
        for method in ("GET", "POST", "OPTIONS", MARK.upper()):
            status, headers, body = answer_to(
                target, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
            )
            assert status in (200, 400, 404, 405)
            assert headers.keys() <= ANSWER_HEADERS | {"allow"}
            assert MARK not in str(headers)
            assert MARK.encode() not in body


@each_string
def test_a_body_is_not_in_its_refusal(target: Service, make_event: MakeEvent, text: str):
    """The names of unknown fields are, as text of JSON."""
    event = make_event(sections=[section()])
    for body in (
        {"eventId": text, "seatIds": [text]},
        {"eventId": event.id, "seatIds": event.seat_ids[:1], text: text},
        {"eventId": event.id, "seatIds": [{text: text}]},
    ):
        answer = target.post("/seats/reserve", token=token_for(), json=body)
        error = check_error(answer, 400, "VALIDATION_ERROR")
        assert MARK not in error["error"]
        assert MARK not in str(list(error["details"].values()))
        assert MARK not in str(answer.headers)


@each_string
def test_a_socket_is_in_no_room_of_another_name(target: Service, make_event: MakeEvent, text: str):
    event = make_event(sections=[section()])
    messages: list[tuple[str, Any]] = [
        ("join-event", text),
        ("join-event", {"eventId": text}),
        ("join-queue", f"{event.id}{text}"),
        ("join-seat-selection", f"seats:{event.id}{text}"),
        ("seat-selection-changed", {"eventId": event.id, "seats": [text]}),
        ("join-seat-selection", {"eventId": event.id, "version": text}),
    ]
    with newcomer(target.port) as client:
        client.say("40" + json.dumps({"token": token_for(), "pid": text}))
        client.read_until(rb'40\{"sid".*\}')
        for number, message in enumerate(messages, 10):
            client.say(f"42{number}{json.dumps(message)}")
        client.say("42" + json.dumps([text, event.id]))
        frames, is_open = client.frames_until_pong()
    assert is_open
    answers = [json.loads(words[4:])[0] for opcode, words in frames if opcode == TEXT]
    assert [answer["success"] for answer in answers] == [False] * 5 + [True]
    assert MARK not in str(answers)
