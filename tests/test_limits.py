"""What one person may cost: messages and sockets, over all their sockets and all instances."""

import json
import time
from contextlib import ExitStack

import pytest

from dev.processes import free_port
from tests.support.buyers import token_for
from tests.support.factories import section
from tests.support.websocket import websocket
from tests.support.wire import check_soon
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.socket_limit import MAX_SOCKETS
from ticket_service.stores.person_sockets import DEAD_AFTER_MS


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=80)])


# --- Messages ---


def refused(services, token, event):
    """How many of a person's messages are refused, with a burst from a socket on each instance."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(websocket(one.port, token)) for one in services]
        for socket in sockets:
            socket.say(f'421["join-seat-selection","{event.id}"]')
            socket.read_until(rb"431\[")
        for number in range(BURST - 2):
            for socket in sockets:
                choice = {"eventId": event.id, "seats": [event.seat_ids[number]]}
                socket.say("427" + json.dumps(["seat-selection-changed", choice]))
        answers = b""
        for socket in sockets:
            while answers.count(b"437[") < (BURST - 2) * (sockets.index(socket) + 1):
                answers += socket.connection.recv(65_536)
        return answers.count(b"RATE_LIMITED")


def test_the_sockets_of_a_person_share_a_limit_over_all_instances(service, other_service, event):
    """One instance alone would refuse none of them; all that they refill takes seconds."""
    started = time.monotonic()
    count = refused([service, other_service], token_for(), event)
    refilled = (time.monotonic() - started) * PER_SECOND
    assert count >= 2 * (BURST - 1) - BURST - refilled - 1
    assert count > 0


def test_without_the_shared_count_each_instance_has_its_own_limit(start_service, event):
    services = [
        start_service(app="tests.support.unguarded:app", UNGUARDED="messages of a person")
        for _ in range(2)
    ]
    assert refused(services, token_for(), event) == 0


def test_without_redis_the_sockets_of_a_person_share_a_limit_on_each_instance(start_service, event):
    service = start_service(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert refused([service, service], token_for(), event) > 0


def test_a_new_socket_brings_no_new_messages(service, event):
    token = token_for()
    refused([service, service], token, event)
    assert refused([service], token, event) > 0


def test_one_persons_messages_cost_another_nothing(service, event):
    refused([service, service], token_for(), event)
    assert refused([service], token_for(), event) == 0


# --- Sockets ---


def turned_away(browser, service, token):
    """What a socket hears that is one too many."""
    client = browser.client(service.url, token, reconnection=False)
    heard = browser.wait_for(lambda: client.heard("#connect", "#connect_error"))[0]
    assert heard.name == "#connect_error"
    message, data = heard.args
    assert data["code"] == "LIMIT_EXCEEDED"
    assert message == data["error"]
    assert "authentication" not in message  # for which browsers would log in
    return data


def lets_in(browser, service, token):
    client = browser.client(service.url, token, reconnection=False)
    heard = browser.wait_for(lambda: client.heard("#connect", "#connect_error"))[0]
    return heard.name == "#connect"


def test_a_person_has_a_few_sockets_over_all_instances(browser, service, other_service, event):
    token = token_for()
    sockets = [
        browser.connect((service, other_service)[number % 2].url, token)
        for number in range(MAX_SOCKETS)
    ]
    for one in (service, other_service):
        turned_away(browser, one, token)
    browser.connect(service.url).join("join-event", event)  # others come
    sockets[0].close()
    check_soon(lambda: lets_in(browser, other_service, token), True, 5)
    turned_away(browser, service, token)
    for socket in sockets:
        assert socket.heard("#disconnect") == [] or socket is sockets[0]


def test_sockets_that_come_at_once_keep_to_the_limit(browser, service, other_service):
    token = token_for()
    clients = [
        browser.client((service, other_service)[number % 2].url, token, reconnection=False)
        for number in range(2 * MAX_SOCKETS)
    ]
    for client in clients:
        assert browser.wait_for(lambda c=client: c.heard("#connect", "#connect_error"))
    assert sum(bool(client.heard("#connect")) for client in clients) <= MAX_SOCKETS
    for client in clients:
        if client.heard("#connect"):
            client.close()
    check_soon(lambda: lets_in(browser, service, token), True, 5)


def test_the_sockets_of_a_dead_instance_do_not_count_for_long(browser, start_service, service):
    dies = start_service()
    token = token_for()
    for _ in range(MAX_SOCKETS):
        browser.connect(dies.url, token, reconnection=False)
    turned_away(browser, service, token)
    dies.kill()
    turned_away(browser, service, token)

    def let_in_later() -> bool:
        time.sleep(0.5)  # as often as the limit of new sockets allows
        return bool(lets_in(browser, service, token))

    check_soon(let_in_later, True, DEAD_AFTER_MS / 1000 + 10)


def test_without_redis_a_person_has_a_few_sockets_on_each_instance(browser, start_service):
    service = start_service(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    token = token_for()
    for _ in range(MAX_SOCKETS):
        browser.connect(service.url, token)
    turned_away(browser, service, token)
