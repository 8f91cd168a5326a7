"""What buyers who finish together share: calls to Redis, and messages to the other instances."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import gevent
import pytest
from redis import Redis

from dev.servers import Servers
from tests.support.buyers import at_once
from tests.support.degradation import Instance, behind_proxies, buy_seat, buy_ticket, eventually
from tests.support.factories import Event, MakeEvent, section, ticket
from ticket_service.realtime.bus import SEND_INTERVAL, Bus
from ticket_service.stores import keys
from ticket_service.stores.redis import LuaScript
from ticket_service.stores.redis import Redis as Store

BUYERS = 8

DELAY = 0.3
"""Seconds; an answer that takes half a second counts as lost."""


@pytest.fixture(scope="module")
def instance(servers: Servers, folder: Path) -> Iterator[Instance]:
    with behind_proxies(servers.database_url, servers.redis_url, folder) as started:
        yield started


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=BUYERS)], tickets=[ticket()])


@contextmanager
def recorded(redis: Redis, *words: str) -> Iterator[list[str]]:
    """Commands with all of these words that Redis gets, until the block ends."""
    found: list[str] = []
    end = f"end of {threading.get_ident()} {time.monotonic_ns()}"
    with redis.monitor() as monitor:

        def listen() -> None:
            for command in monitor.listen():
                if end in command["command"]:
                    return
                if all(word in command["command"] for word in words):
                    found.append(command["command"])

        thread = threading.Thread(target=listen)
        thread.start()
        yield found
        redis.echo(end)
        thread.join()


def test_holds_of_seats_that_end_together_are_freed_in_one_call(
    instance: Instance, event: Event, redis: Redis
):
    release = LuaScript("release_locks").sha
    buy = partial(buy_seat, instance.service, event)
    with recorded(redis, release, event.id) as calls:
        instance.redis.delay_answer(release.encode(), DELAY)
        answers = at_once([partial(buy, seat) for seat in range(BUYERS)])
    assert {answer.status for answer in answers} == {201}
    assert 2 <= len(calls) <= BUYERS / 2
    assert not redis.exists(*[keys.seat_lock(event.id, seat_id) for seat_id in event.seat_ids])


def test_holds_of_tickets_that_end_together_change_the_version_once(
    instance: Instance, event: Event, redis: Redis
):
    version = keys.version(event.id)
    with recorded(redis, "SET", version) as calls:
        instance.redis.delay_answer(version.encode(), DELAY)
        answers = at_once([partial(buy_ticket, instance.service, event)] * BUYERS)
    assert {answer.status for answer in answers} == {201}
    assert 2 <= len(calls) <= BUYERS / 2


def test_messages_in_a_rush_go_out_together_and_one_alone_at_once(servers: Servers, redis: Redis):
    bus = Bus(Store(servers.redis_url), relay_channel="")
    batches: list[list[int]] = []
    nobodys = str(uuid4())

    def take(data: bytes | str) -> None:
        messages = [message for message in json.loads(data) if message.get("eventId") == nobodys]
        numbers = [message["number"] for message in messages]
        if numbers:
            batches.append(numbers)

    with redis.pubsub() as channel:
        channel.subscribe(keys.BUS)
        sending = gevent.spawn(bus.send_forever)
        started = time.monotonic()
        for number in range(100):
            bus.publish("stock", eventId=nobodys, number=number)
            gevent.sleep(0.001)
        took = time.monotonic() - started

        def all_arrived() -> bool:
            gevent.sleep(0.01)
            while message := channel.get_message(ignore_subscribe_messages=True):
                take(message["data"])
            return sum(map(len, batches)) == 100

        eventually(all_arrived)
        gevent.kill(sending)
    assert batches[0] == [0]
    assert [number for batch in batches for number in batch] == list(range(100))
    assert len(batches) <= took / SEND_INTERVAL + 2
