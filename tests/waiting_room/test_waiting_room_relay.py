"""What other programs hear of the waiting room, on the channel that a setting names."""

import json
import time

import pytest
from redis import Redis

from dev.servers import valkey
from tests.support.degradation import subfolder
from tests.support.service import run_services
from tests.support.visitors import Visitor, arrive, clear_queue, run_queue
from tests.support.wire import check_soon, is_korean

CHANNEL = "tiketi:queue-events"


@pytest.fixture(scope="module")
def url(servers, folder):
    with valkey(subfolder(folder, "relay-valkey")) as url:
        yield url


@pytest.fixture(scope="module")
def instances(url, folder):
    """Two: whatever happens is published once."""
    settings = {"QUEUE_RELAY_CHANNEL": CHANNEL, "QUEUE_TTL_SECONDS": "3"}
    with run_services(folder, 2, REDIS_URL=url, **settings) as started:
        yield started


@pytest.fixture
def heard(url):
    """A function that gives what was heard since, as a list of (event, payload)."""
    with (
        Redis.from_url(url, decode_responses=True) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as channel,
    ):
        channel.subscribe(CHANNEL)
        seen = []

        def so_far():
            while (message := channel.get_message(timeout=0.1)) is not None:
                told = json.loads(message["data"])
                assert told.keys() == {"event", "payload"}
                seen.append((told["event"], told["payload"]))
            return seen

        so_far()
        yield so_far


def test_the_events_of_the_line_are_published_once(instances, event, heard):
    first, other = instances
    run_queue(first, event.id, threshold=1)
    inside, waits, silent = arrive(first, event.id, 3)
    inside.leave(other)
    check_soon(lambda: named(heard(), "queue-entry-allowed", waits), 1)
    waits.leave()
    check_soon(lambda: named(heard(), "queue-entry-allowed", silent), 1)
    check_soon(lambda: named(heard(), "queue-stay-ended", silent), 1)
    Visitor(other, event.id).check()
    clear_queue(other, event.id)
    check_soon(lambda: sum(name == "queue-cleared" for name, _ in heard()), 1)
    time.sleep(1)
    counted = [(name, payload.get("userId")) for name, payload in heard()]
    assert len(counted) - len(set(counted)) == counted.count(("queue-updated", None)) - 1
    assert [(name, who) for name, who in counted if who in (inside.id, waits.id)] == [
        ("queue-entry-allowed", waits.id)
    ]
    for name, payload in heard():
        assert payload["eventId"] == event.id
        if name == "queue-updated":
            assert payload.keys() == {
                "eventId",
                "queueSize",
                "currentUsers",
                "threshold",
                "timestamp",
            }
        else:
            assert is_korean(payload["message"])


def named(heard, event, visitor):
    return sum(name == event and payload["userId"] == visitor.id for name, payload in heard)


def test_nothing_is_published_unless_a_channel_is_named(service, event, redis):
    with redis.pubsub() as channel:
        channel.psubscribe("*queue-events*")
        run_queue(service, event.id, threshold=1)
        inside, waits = arrive(service, event.id, 2)
        inside.leave()
        check_soon(waits.stands, ("active", 0))
        time.sleep(1)
        assert channel.get_message(timeout=0.1)["type"] == "psubscribe"
        assert channel.get_message(timeout=0.1) is None
