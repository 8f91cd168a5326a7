"""How many people look at an event: people, not sockets, and over all instances."""

import time
from itertools import pairwise
from statistics import median

import pytest

from tests.support.buyers import token_for
from tests.support.factories import ticket


@pytest.fixture
def event(make_event):
    return make_event(tickets=[ticket()])


def counts(client, after=0):
    return [heard.payload["userCount"] for heard in client.log[after:] if heard.name == "room-info"]


def test_people_are_counted_and_not_sockets(browser, start_service, service, other_service, event):
    """One person with a tab on each of three instances is one; who has gone counts no more."""
    instances = [service, other_service, start_service()]
    looks = browser.connect(service.url)
    looks.join("join-event", event)
    token = token_for()
    tabs = [browser.connect(one.url, token) for one in instances]
    for tab in tabs:
        tab.join("join-event", event)
    looks.wait("room-info", lambda told: told["userCount"] == 2)
    for tab in tabs[:2]:
        tab.close()
    another = browser.connect(instances[2].url)
    another.join("join-event", event)
    looks.wait("room-info", lambda told: told["userCount"] == 3)
    tabs[2].close()
    another.send("leave-event", event.id)
    looks.wait("room-info", lambda told: told["userCount"] == 1)
    assert max(counts(looks)) == 3


def test_joins_do_not_cause_a_broadcast_each(browser, service, other_service, event):
    looks = browser.connect(service.url)
    looks.join("join-event", event)
    looks.wait("room-info")
    people = [browser.client((service, other_service)[n % 2].url) for n in range(100)]
    for client in people:
        client.wait("#connect")
    before, started = len(looks.log), time.time()
    for client in people:
        client.send("join-event", event.id)
    told = looks.wait("room-info", lambda told: told["userCount"] == 101, after=before)
    times = [heard.at for heard in looks.log[before:] if heard.name == "room-info"]
    assert len(times) <= told.at - started + 2
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap > 0.5 for gap in gaps), gaps  # what is heard late is soon followed by the next
    for client in people:  # each has heard how many there are, or soon will
        client.wait("room-info")


def test_the_interval_is_a_setting(browser, start_service, event):
    service = start_service(UPDATE_SECONDS="0.2")
    looks = browser.connect(service.url)
    looks.join("join-event", event)
    looks.wait("room-info")
    delays = []
    for number in range(5):
        before, started = len(looks.log), time.time()
        browser.connect(service.url).join("join-event", event)
        told = looks.wait("room-info", lambda t, n=number: t["userCount"] == n + 2, after=before)
        delays.append(told.at - started)
    assert median(delays) < 0.9


def test_the_count_is_right_again_after_an_instance_died(browser, start_service, service, event):
    dies = start_service()
    looks = browser.connect(service.url)
    looks.join("join-event", event)
    for _ in range(3):
        browser.connect(dies.url, reconnection=False).join("join-event", event)
    looks.wait("room-info", lambda told: told["userCount"] == 4)
    before = len(looks.log)
    dies.kill()
    looks.wait("room-info", lambda told: told["userCount"] == 1, after=before, seconds=30)
    assert counts(looks, before) == [1]
