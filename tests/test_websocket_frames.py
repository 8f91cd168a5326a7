"""Frames that nobody should send, too many of them, and too many who have not signed in."""

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from tests.support.browser import run_browser
from tests.support.buyers import token_for
from tests.support.polling import PATH, Polling
from tests.support.service import Response
from tests.support.websocket import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    handshake,
    newcomer,
    raw,
    websocket,
)
from ticket_service.realtime.budgets import (
    ENTRY_TIMEOUT,
    MAX_NEWCOMERS,
    NEWCOMER,
    NEWCOMERS_PER_SECOND,
    SIGNED_IN,
    NewcomerLimit,
)
from ticket_service.realtime.engine import UPGRADE_TIMEOUT
from ticket_service.realtime.websocket import MAX_FRAGMENTS

CLIENTS = pytest.mark.parametrize("client_of", [websocket, newcomer], ids=["signed in", "new"])
"""Signed in, and not."""


# --- Too many ---

FLOODS = {
    "pings": frame(b"", PING) * 10_000,
    "pongs": frame(b"", PONG) * 10_000,
    "empty messages of Engine.IO": frame(b"6") * 10_000,
    "empty messages": frame(b"") * 10_000,
}


def send_all(client, data):
    """Send it often, until the connection ends."""
    try:
        for _ in range(200):
            client.send(data)
    except (ConnectionError, TimeoutError):
        pass


def closed_while_served(service, client, data):
    """The code with which a flood is closed; other requests are answered meanwhile."""
    longest = 0.0
    with ThreadPoolExecutor(2) as pool:
        pool.submit(send_all, client, data)
        code = pool.submit(client.close_code)
        while not code.done():
            started = time.monotonic()
            assert service.request("GET", "/health").status == 200
            longest = max(longest, time.monotonic() - started)
            time.sleep(0.01)
    assert longest < 1
    return code.result()


@CLIENTS
@pytest.mark.parametrize("kind", ["pings", "pongs", "empty messages of Engine.IO"])
def test_a_flood_of_frames_is_closed(service, client_of, kind):
    before = closed(service, "policy_violation")
    with client_of(service.port) as client:
        assert closed_while_served(service, client, FLOODS[kind]) == 1008
    assert closed(service, "policy_violation") > before


def closed(service, reason):
    """How often /metrics says that a WebSocket was closed for it."""
    metrics = service.request("GET", "/metrics").body.decode()
    name = re.escape(f'ticket_websockets_closed_total{{reason="{reason}"}}')
    return sum(float(count) for count in re.findall(f"^{name} (.*)$", metrics, re.MULTILINE))


@pytest.mark.parametrize(("client_of", "code"), [(websocket, 1009), (newcomer, 1008)])
def test_a_flood_of_empty_continuation_frames_is_closed(service, client_of, code):
    with client_of(service.port) as client:
        client.send(frame(b"4", final=False))
        flood = frame(b"", CONTINUATION, final=False) * 10_000
        assert closed_while_served(service, client, flood) == code


def test_a_message_may_have_some_fragments_but_not_many(service):
    text = b'421["leave-event","no event"]'.ljust(MAX_FRAGMENTS + 1)
    for count, answered in ((MAX_FRAGMENTS, True), (MAX_FRAGMENTS + 1, False)):
        parts = [text[at : at + 1] for at in range(count - 1)] + [text[count - 1 :]]
        frames = [
            frame(part, CONTINUATION if number else TEXT, final=number == count)
            for number, part in enumerate(parts[:-1])
        ]
        with websocket(service.port) as client:
            client.send(b"".join(frames) + frame(parts[-1], CONTINUATION))
            if answered:
                client.read_until(rb"431\[")
            else:
                assert client.close_code() == 1009


def test_of_many_pings_the_last_is_answered(service):
    with websocket(service.port) as client:
        client.send(b"".join(frame(b"ping %d" % number, PING) for number in range(9)))
        assert client.read_until(rb"ping 8") == b"\x8a\x06ping 8"


# --- Broken ---

BROKEN = {
    "an unmasked frame": (frame(b'42["join-event"]', masked=False), 1002),
    "a reserved opcode": (frame(b"x", 5), 1002),
    "reserved bits": (b"\xf1\x80abcd", 1002),
    "a continuation of nothing": (frame(b"x", CONTINUATION), 1002),
    "a message within a message": (frame(b"x", final=False) + frame(b"x"), 1002),
    "a long control frame": (frame(b"x" * 200, PING), 1002),
    "a fragment of a control frame": (frame(b"x", PING, final=False), 1002),
    "a length in more bytes than it needs": (b"\x81\xfe\x00\x05abcdefghi", 1002),
    "a length with its highest bit": (frame(b"x" * 1000, length=2**63), 1002),
    "a close frame of one byte": (frame(b"x", CLOSE), 1002),
    "a code that nobody may send": (frame(b"\x03\xed", CLOSE), 1002),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000, 1002),
    "text that is not UTF-8": (frame(b"\xff\xfe"), 1007),
    "a reason that is not UTF-8": (frame(b"\x03\xe8\xff\xfe", CLOSE), 1007),
    "a huge declared length": (frame(b"x" * 200_000, length=2**62), 1009),
    "a length beyond the limit": (frame(b"x" * (SIGNED_IN.max_message + 1)), 1009),
    "a packet that we do not know": (frame(b"43"), 1008),
    "an attachment": (frame(b"x", 2), 1008),
}


@CLIENTS
@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_is_told_apart_by_its_code(service, client_of, data, code):
    with client_of(service.port) as client:
        client.send(data)
        assert client.close_code() == code


@CLIENTS
def test_a_goodbye_is_answered(service, client_of):
    with client_of(service.port) as client:
        client.send(frame((4321).to_bytes(2, "big") + b"bye", CLOSE))
        assert client.close_code() == 4321


# --- Before the token ---


def test_a_new_client_may_send_little(service):
    with newcomer(service.port) as client:
        client.send(frame(b"", PING) * NEWCOMER.burst)
        client.read_until(rb"\x8a\x00")
        client.send(frame(b"", PING))
        assert client.close_code() == 1008
    with newcomer(service.port) as client:
        client.say("40" + " " * NEWCOMER.max_message)
        assert client.close_code() == 1009


def test_a_new_client_may_try_one_token(service):
    with newcomer(service.port) as client:
        for _ in range(2):
            client.say('40{"token":"x"}')
        assert b"INVALID_TOKEN" in client.read_until(rb"44\{.*\}")
        assert client.close_code() in (1008, None)  # None: both were read at once
    polling = Polling(service, signed_in=False)
    assert polling.post('40{"token":"x"}').status == 200
    assert b"INVALID_TOKEN" in polling.get().body
    polling.post('40{"token":"x"}')
    assert polling.get().status == 400


def test_a_new_client_that_polls_may_send_little(service):
    polling = Polling(service, signed_in=False)
    assert polling.post("3" * (NEWCOMER.max_message + 1)).status == 400
    polling = Polling(service, signed_in=False)
    statuses = [polling.post("\x1e".join(["3"] * 10)).status for _ in range(5)]
    assert statuses == [200] * 4 + [400]


def upgrade(client, sid):
    """Ask for a WebSocket for a session that polls; the status."""
    request = handshake().replace(b"&transport=websocket", b"&transport=websocket&sid=" + sid)
    client.send(request)
    return client.read_until(rb"HTTP/1.1 \d{3} [\s\S]*\r\n\r\n")[9:12]


def test_an_upgrade_is_one_at_a_time_and_has_an_end(service):
    polling = Polling(service)
    sid = polling.sid.encode()
    with raw(service.port) as first, raw(service.port) as second:
        assert upgrade(first, sid) == b"101"
        assert upgrade(second, sid) == b"400"
        first.say("2probe")
        first.read_until(b"3probe")
        started = time.monotonic()
        first.connection.settimeout(UPGRADE_TIMEOUT + 5)
        assert first.ended()
        assert time.monotonic() - started < UPGRADE_TIMEOUT + 2
    assert polling.get().body == b"6"  # what ended the poll that was open
    assert polling.post('421["leave-event","no event"]').status == 200
    assert polling.get().body.startswith(b"431[")


def test_a_session_has_few_upgrades(service):
    polling = Polling(service, signed_in=False)
    statuses = []
    for _ in range(5):
        with raw(service.port) as client:
            statuses.append(upgrade(client, polling.sid.encode()))
            client.say("x")
            client.ended()
    assert statuses[0] == b"101"
    assert statuses[-1] == b"400"


# --- All new ones together ---

AT_ONCE = 300
"""Requests: more than wait for NEWCOMERS_PER_SECOND during ENTRY_TIMEOUT."""


def open_until(service, enough):
    """Open connections and leave them, very many at once, until it is enough; all answers, and
    how many may have been let in meanwhile."""
    started = time.monotonic()
    answers: list[Response] = []

    def go_on():
        while not enough(answers, limit()) and time.monotonic() < started + 60:
            answers.append(service.request("GET", PATH))

    def limit():
        return MAX_NEWCOMERS + (time.monotonic() - started) * NEWCOMERS_PER_SECOND + 1

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for running in [pool.submit(go_on) for _ in range(AT_ONCE)]:
            running.result()
    return answers, limit()


def test_those_who_never_sign_in_are_bounded_together(start_service):
    """Reconnecting gains nothing, others are served, and who has a token gets in after all."""
    service = start_service()
    answers, limit = open_until(
        service, lambda answers, _: any(answer.status == 503 for answer in answers)
    )
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {200, 503}
    assert statuses[200] <= limit
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["code"] == "SERVICE_UNAVAILABLE"
    assert service.request("GET", "/health").status == 200
    assert b"ticket_sockets_refused_total 0.0" not in service.request("GET", "/metrics").body
    with ThreadPoolExecutor(20) as pool, run_browser() as browser:
        end = time.monotonic() + 8
        for _ in range(20):
            pool.submit(reconnect, service, end)
        for transports in (["websocket"], ["polling"], ["polling", "websocket"]):
            browser.connect(service.url, transports=transports)
        assert time.monotonic() < end


def reconnect(service, end):
    """Shake hands again and again."""
    while time.monotonic() < end:
        with raw(service.port) as client:
            client.send(handshake())
            client.connection.recv(65_536)


def test_without_the_limit_any_number_is_let_in(start_service):
    service = start_service(app="tests.support.unguarded:app", UNGUARDED="newcomers")
    answers, limit = open_until(service, lambda answers, limit: len(answers) > limit)
    assert {answer.status for answer in answers} == {200}
    assert len(answers) > limit


def test_who_signs_in_makes_room_for_another():
    limit = NewcomerLimit()
    while limit._free >= 1:
        assert limit.acquire()
    waiting = [gevent.spawn(limit.acquire) for _ in range(600)]
    gevent.sleep(0)
    for _ in range(300):
        limit.release()
    gevent.joinall(waiting)
    by_themselves = ENTRY_TIMEOUT * NEWCOMERS_PER_SECOND
    assert by_themselves + 150 < sum(waiter.value for waiter in waiting) < 600


@CLIENTS
def test_an_honest_client_is_not_disturbed(service, client_of):
    """In fragments, with pings in between; more than it might have sent before it signed in."""
    with client_of(service.port) as client:
        if client_of is newcomer:
            client.say("40" + json.dumps({"token": token_for()}))
            client.read_until(rb'40\{"sid"')
        for number in range(NEWCOMER.burst // 2):
            client.send(frame(f'42{number}["leave-'.encode(), final=False))
            client.send(frame(b"still here", PING))
            client.read_until(b"still here")
            client.send(frame(b'event","no event"]', CONTINUATION))
            client.read_until(b"43%d" % number)
