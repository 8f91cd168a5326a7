"""Clients that send what they should not, or do not read: they harm nobody."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID

import psutil
import pytest

from tests.support.browser import run_browser
from tests.support.buyers import token_for
from tests.support.factories import section, ticket
from tests.support.polling import Polling
from tests.support.websocket import BINARY, frame, handshake, newcomer, raw, websocket
from tests.support.wire import check_soon, each
from ticket_service.realtime.budgets import SIGNED_IN
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.rooms import MAX_ROOMS
from ticket_service.sockets.handlers import MAX_PAYLOAD_BYTES
from ticket_service.sockets.server import LOGIN_TIMEOUT

UNKNOWN = str(UUID(int=7))

JOINS = ["join-event", "leave-event", "join-queue", "leave-queue", "join-seat-selection"]


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket()])


@pytest.fixture(scope="module")
def browser():
    with run_browser() as process:
        yield process


@pytest.fixture
def listener(browser, service, event):
    """A well-behaved client: after each test it hears the next change, on the same connection, and
    the service has met nothing that it did not expect."""
    logged = len(service.log_lines())
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    yield client
    body = {"eventId": event.id, "seatIds": [event.seat_ids[-1]]}
    assert service.post("/seats/reserve", token=token_for(), json=body).status == 201
    client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[-1])
    assert client.heard("#disconnect") == []
    assert troubles(service, logged) == []
    client.close()


def troubles(service, logged=0):
    """Log lines of what nobody expected, after so many."""
    return [
        line
        for line in service.log_lines()[logged:]
        if ()  # an error of a client, the first of its kind
        or re.search("Traceback|[Ee]xception", str(line))
    ]


def check_refusal(answer, code):
    assert answer.keys() - {"details"} == {"success", "error", "message", "code"}, answer
    assert (answer["success"], answer["code"]) == (False, code)
    assert answer["error"] == answer["message"] != ""
    assert not re.search("Traceback|Error|site-packages|line [0-9]", str(answer))


# --- Payloads ---


@pytest.mark.usefixtures("listener")
def test_an_unknown_event_is_not_found(browser, service):
    client = browser.connect(service.url)
    for name in ("join-event", "join-queue", "leave-queue", "join-seat-selection"):
        check_refusal(client.emit(name, {"eventId": UNKNOWN}), "EVENT_NOT_FOUND")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "payload",
    [
        *each("eventId", None, 1, 1.5, True, "", "x", [], {}, "' OR 1=1 --"),
        {},
        {"event_id": UNKNOWN},
        [],
        ["x"],
        None,
        0,
        True,
        "",
        "not an id",
        "\x00",
        "\ud83d\ude00" * 10,
        {"eventId": UNKNOWN, "more": "x" * MAX_PAYLOAD_BYTES},
    ],
    ids=lambda payload: str(payload)[:30],
)
def test_a_wrong_payload_is_refused(browser, service, payload):
    client = browser.connect(service.url)
    for name in [*JOINS, "seat-selection-changed"]:
        check_refusal(client.emit(name, payload), "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
def test_no_payload_is_refused_and_more_than_one_is_ignored(browser, service, event):
    client = browser.connect(service.url)
    for name in [*JOINS, "seat-selection-changed"]:
        check_refusal(client.emit(name), "VALIDATION_ERROR")
    assert client.emit("join-seat-selection", event.id, {"a": 1}, 7, None)["success"] is True


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "more",
    [
        {},
        *each("seats", None, "x", 1, {}, [1], [None], [""], ["x" * 65], ["x"] * 101, [["x"]]),
    ],
    ids=lambda more: str(more)[:30],
)
def test_a_wrong_choice_of_seats_is_refused(browser, service, event, more):
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    refused = client.emit("seat-selection-changed", {"eventId": event.id, **more})
    check_refusal(refused, "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
def test_a_socket_is_only_in_a_few_rooms(browser, service, make_event):
    client = browser.connect(service.url)
    events = [make_event(tickets=[ticket()]) for _ in range(MAX_ROOMS + 1)]
    for one in events[:-1]:
        client.join("join-event", one)
    check_refusal(client.emit("join-event", events[-1].id), "LIMIT_EXCEEDED")
    client.join("join-event", events[0])  # where it is already
    assert client.emit("leave-event", events[0].id) == {"success": True}
    client.join("join-event", events[-1])


@pytest.mark.usefixtures("listener")
def test_too_many_messages_are_refused_until_the_client_has_rested(browser, service, event):
    client = browser.connect(service.url)
    for _ in range(BURST + 10):
        client.send("join-event", event.id)
    check_refusal(client.emit("join-event", event.id), "RATE_LIMITED")
    time.sleep(12 / PER_SECOND)
    assert client.emit("leave-event", event.id) == {"success": True}


@pytest.mark.usefixtures("listener")
def test_unknown_event_names_are_ignored(browser, service, event):
    client = browser.connect(service.url)
    for name in (
        "no-such-event",
        "message",
        "seat-locked",
        "connect_error2",
        "x" * 1000,
        "__class__",
    ):
        client.send(name, {"eventId": event.id})
    assert client.join("join-event", event)


# --- Frames and packets ---

BROKEN = {
    "an unmasked frame": frame(b'42["join-event"]', masked=False),
    "a huge declared length": frame(b"x" * 200_000, length=2**62),
    "a length beyond the limit": frame(b"x" * (SIGNED_IN.max_message + 1)),
    "fragments beyond the limit": frame(b"x" * 60_000, final=False) + frame(b"x" * 60_000, 0),
    "a reserved opcode": frame(b"x", 5),
    "reserved bits": b"\xf1\x80abcd",
    "a continuation of nothing": frame(b"x", 0),
    "text that is not UTF-8": frame(b"\xff\xfe"),
    "a long control frame": frame(b"x" * 200, 9),
    "garbage": bytes(range(256)) * 4,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
}


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_ends_the_connection(service, data):
    with websocket(service.port) as client:
        client.send(data)
        assert client.ended()


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_before_the_token_ends_the_connection(service, data):
    with newcomer(service.port) as client:
        client.send(data)
        assert client.ended()


PACKETS = [
    "",
    "4",
    "42",
    "42[",
    "42{}",
    "42[]",
    "42[1]",
    "42[null]",
    "42[{}]",
    '42["join-event",',
    '42/other,["join-event"]',
    '4299999999999999999999["join-event"]',
    "43",
    "431[]",
    "44",
    "45",
    '451-["join-event",{"_placeholder":true,"num":7}]',
    '459999999-["join-event"]',
    "46",
    "47",
    "49",
    "4x",
    "40",
    "40{",
    "40[]",
    '40{"token":1}',
    "40/other",
    "41/other",
    "0",
    "5",
    "6",
    "7",
    "9",
    "x",
    "3probe",
    "3" * 1000,
    '42["join-event",' + "[" * 2000 + "]" * 2000 + "]",
    '42["join-event",' + "9" * 5000 + "]",
    '42["join-event",{"eventId":"\\ud800"}]',
    '42["connect"]',
    '42["disconnect"]',
    '42["connect",{"token":"x"}]',
    '42["disconnect",1,2,3]',
    "b",
    "bAAAA",
    "b!",
]


@pytest.mark.usefixtures("listener")
def test_a_broken_packet_harms_nobody(service, event):
    """It is ignored, or ends the connection."""
    found = {}
    for packet in PACKETS:
        logged = len(service.log_lines())
        with websocket(service.port) as client:
            client.say(packet)
            with suppress(ConnectionError):
                client.say('421["join-event","' + event.id + '"]')
                client.read_until(rb"431\[|44")
        with newcomer(service.port) as client:
            client.say(packet)
            with suppress(ConnectionError):
                client.say("40{}")
                client.read_until(rb"44")
        if trouble := troubles(service, logged):
            found[packet[:40]] = [str(line)[-300:] for line in trouble]
    assert found == {}


@pytest.mark.usefixtures("listener")
def test_binary_messages_harm_nobody(service, event):
    for data in (b"", b"\x00", b"4", b'42["join-event"]', bytes(1000)):
        with websocket(service.port) as client:
            client.send(frame(data, BINARY))
            with suppress(ConnectionError):
                client.say('421["join-event","' + event.id + '"]')
                client.read_until(rb"431\[")


@pytest.mark.usefixtures("listener")
def test_attachments_end_the_connection(browser, service):
    """A binary event says how many attachments follow; a client could have us collect them."""
    client = browser.connect(service.url, reconnection=False)
    client.send("join-event", {"binary": "00ff"})
    client.wait("#disconnect")
    with websocket(service.port) as announces:
        announces.say('451000000-["join-event",{"_placeholder":true,"num":0}]')
        assert announces.ended()


@pytest.mark.usefixtures("listener")
def test_without_a_token_nothing_is_answered_and_nothing_heard(service, event):
    """The connection of Engine.IO stands before the token is shown."""
    with newcomer(service.port) as client:
        client.say(f'421["join-seat-selection","{event.id}"]')
        body = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
        assert service.post("/seats/reserve", token=token_for(), json=body).status == 201
        client.say("40{}")
        first = client.read_until(rb"4[0-9]")
        assert b"44{" in first
        assert b"seat" not in first


@pytest.mark.usefixtures("listener")
def test_who_shows_no_valid_token_may_not_stay(service):
    """One shows none, one stays after its token's end; each has opened the connection itself."""
    token = token_for(exp=int(time.time()) + 2)
    with newcomer(service.port) as silent, websocket(service.port, token) as stays:
        started = time.monotonic()
        for client in (silent, stays):
            client.connection.settimeout(LOGIN_TIMEOUT + 5)
            assert client.ended()
        assert time.monotonic() - started < LOGIN_TIMEOUT + 7  # before pings would be missed


def test_a_client_cannot_have_itself_forgotten(browser, service, event):
    """Then nobody would close it when its token ends."""
    token = token_for(exp=int(time.time()) + 3)
    with websocket(service.port, token) as client:
        client.emit("join-seat-selection", event.id)
        client.emit("disconnect", "transport close")
        assert client.ended()


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("key", [None, ""])
def test_a_handshake_without_a_key_is_refused(service, key):
    with raw(service.port) as client:
        client.send(handshake(Sec_WebSocket_Key=key))
        assert client.connection.recv(65_536).startswith(b"HTTP/1.1 400")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Connection": None},
        {"Connection": "keep-alive"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": None},
    ],
    ids=str,
)
def test_a_request_that_cannot_become_a_websocket_is_told_how(service, headers):
    with raw(service.port) as client:
        client.send(handshake(**headers))
        answer = client.read_until(rb"\{.*\}").decode()
    assert answer.startswith("HTTP/1.1 426 ")
    assert re.search(r"(?im)^upgrade: websocket\r$", answer)
    assert re.search(r"(?im)^connection: upgrade\r$", answer)
    assert re.search(r"(?im)^sec-websocket-version: 13\r$", answer)
    refusal = json.loads(answer[answer.index("{") :])
    assert refusal.pop("requestId")
    check_refusal(refusal, "VALIDATION_ERROR")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "EIO=3&transport=polling",
        "EIO=4",
        "EIO=4&transport=x",
        "EIO=4&transport=polling&sid=x",
        "EIO=4&transport=websocket",
        "EIO=4&transport=websocket&sid=x",
        "EIO=&transport=polling&sid=",
        "EIO=4&transport=polling&j=x",
        "EIO=4&transport=polling&b64=1&j=1",
    ],
)
def test_a_wrong_request_is_refused(service, query):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        answer = service.request(
            method, f"/socket.io/?{query}", body=b"x" if method == "POST" else None
        )
        assert answer.status < 500, (method, answer.body)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "body",
    [b"", b"\x1e", b"x", b"4\x1e4\x1e", b"40\x1e" * 100, b"\xff", b"2" * 200_000, b"6\x1e" * 50],
    ids=lambda body: str(body[:10]),
)
def test_a_wrong_body_harms_nobody(service, body):
    path = "/socket.io/?EIO=4&transport=polling"
    opened = service.request("GET", path)
    [sid] = re.findall(rb'"sid":"([^"]+)"', opened.body)
    answer = service.request("POST", f"{path}&sid={sid.decode()}", body=body)
    assert answer.status < 500, answer.body


# --- Clients that do not read ---


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
