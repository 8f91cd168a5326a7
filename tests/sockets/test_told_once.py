"""Numbers that did not change wake no page, and a waiting person's connections are cheap."""

import time
from contextlib import closing, contextmanager
from threading import Thread
from uuid import uuid4

import psycopg2
import pytest
from redis import Redis

from dev.servers import valkey
from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.degradation import subfolder
from tests.support.service import run_service
from tests.support.visitors import Visitor, run_queue

QUIET = 2.5
"""Seconds in which an unchanged number would have been told: more than two intervals."""


@pytest.fixture(scope="module")
def own_redis(servers, folder):
    with valkey(subfolder(folder, f"valkey-{uuid4().hex[:8]}")) as url:
        yield url


@pytest.fixture(scope="module")
def alone(own_redis, folder):
    """An instance on a Redis of its own, where every call is its. Without the limit of sockets: its
    calls are for all people together."""
    with run_service(folder, REDIS_URL=own_redis, SOCKETS_PER_PERSON="") as instance:
        yield instance
        instance.kill()


def test_who_is_put_back_hears_the_number_of_people_only_if_it_differs(browser, service, event):
    """Also where nobody else was there, so that it was none meanwhile."""
    lost = browser.connect(service.url)
    lost.join("join-event", event)
    lost.wait("room-info", lambda told: told["userCount"] == 1)
    for people in (1, 2):
        before = len(lost.log)
        lost.drop()
        lost.wait("session-restored", after=before)
        if people == 2:
            browser.connect(service.url).join("join-event", event)
            lost.wait("room-info", lambda told: told["userCount"] == 2, after=before)
        time.sleep(QUIET)
        told = [heard.payload["userCount"] for heard in lost.log[before:] if is_people(heard)]
        assert told == [people] * (people - 1)


def test_a_second_tab_hears_the_number_and_nobody_else_does(browser, service, other_service, event):
    token = token_for()
    first, other = browser.connect(service.url, token), browser.connect(other_service.url)
    for client in (first, other):
        client.join("join-event", event)
    for client in (first, other):
        client.wait("room-info", lambda told: told["userCount"] == 2)
    before = len(first.log), len(other.log)
    second = browser.connect(other_service.url, token)
    second.join("join-event", event)
    assert second.wait("room-info").payload["userCount"] == 2
    time.sleep(QUIET)
    assert [len(first.log), len(other.log), len(second.heard("room-info"))] == [*before, 1]


def is_people(heard):
    return heard.name == "room-info"


def test_a_socket_of_the_line_hears_only_of_the_line(browser, service, event):
    run_queue(service, event.id, threshold=1)
    token = token_for()
    shop = browser.connect(service.url, token)
    shop.join("join-event", event)
    shop.join("join-seat-selection", event)
    Visitor(service, event.id).check()
    dialog = browser.connect(service.url, token)
    dialog.join("join-queue", event)
    browser.connect(service.url).join("join-event", event)
    shop.wait("room-info", lambda told: told["userCount"] == 2)
    dialog.wait("queue-updated", lambda told: told["queueSize"] == 1)
    assert {heard.name for heard in dialog.log} == {"#connect", "queue-updated"}


def test_a_round_of_a_waiting_person_costs_four_calls_of_redis(alone, own_redis, event, servers):
    """Connect, join the line, leave: one, two, one; each status call one. None of PostgreSQL."""
    run_queue(alone, event.id, threshold=1)
    Visitor(alone, event.id).check()
    waits = Visitor(alone, event.id)

    def one_round():
        with run_client(alone.url, waits.token) as dialog:
            assert dialog.emit("join-queue", event.id)["position"] == 1
            assert dialog.heard("session-restored") == []
        assert waits.stands() == ("queued", 1)

    one_round()
    with nothing_read(servers.database_url), calls_naming(own_redis, waits.id) as calls:
        one_round()
        time.sleep(1)  # what is done after the end
    assert len(calls) == 4 + 1, calls
    with calls_naming(own_redis, idle := str(uuid4())) as calls:
        with run_client(alone.url, token_for(idle)):
            pass
        time.sleep(1)
    assert len(calls) == 2, calls


@contextmanager
def calls_naming(redis_url, word):
    """The scripts and commands meanwhile that name it, as a list that is full in the end."""
    calls, over = [], f"over-{uuid4()}"

    def listen(monitor):
        for command in monitor.listen():
            if over in command["command"]:
                return
            if word in command["command"] and command["client_type"] != "lua":
                calls.append(command["command"][:100])

    with Redis.from_url(redis_url, decode_responses=True) as redis, redis.monitor() as monitor:
        listener = Thread(target=listen, args=(monitor,))
        listener.start()
        try:
            yield calls
        finally:
            redis.get(over)
            listener.join(10)


@contextmanager
def nothing_read(database_url):
    """Whoever reads of events, ticket types or seats meanwhile waits in vain."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE events, ticket_types, seats IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()
