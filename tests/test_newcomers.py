"""Those who have not signed in: each may send little, and all together are bounded."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import gevent

from tests.support.browser import run_browser
from tests.support.polling import PATH, Polling
from tests.support.service import Response
from tests.support.websocket import PING, frame, handshake, newcomer, raw
from ticket_service.realtime.budgets import (
    ENTRY_TIMEOUT,
    MAX_NEWCOMERS,
    NEWCOMER,
    NEWCOMERS_PER_SECOND,
    NewcomerLimit,
)
from ticket_service.realtime.engine import UPGRADE_TIMEOUT

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
    waiting = [gevent.spawn(limit.acquire) for _ in range(900)]
    gevent.sleep(0)
    for _ in range(300):
        limit.release()
    gevent.joinall(waiting)
    by_themselves = ENTRY_TIMEOUT * NEWCOMERS_PER_SECOND
    assert by_themselves + 150 < sum(waiter.value for waiter in waiting) < 900
