"""Two thousand people wait whose pages connect anew all the time, as a dialog does that is made
again with each tick of its count-down.

Each round of a person is a new socket that joins the line and closes, and two looks at the place.
The rounds follow each other as fast as the instance carries them.
"""

import json
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import psycopg2
import pytest
from redis import Redis

from dev.servers import Servers, valkey
from tests.support import factories
from tests.support.degradation import subfolder
from tests.support.service import Service, run_service
from tests.support.visitors import Visitor, run_queue
from tests.support.websocket import websocket
from ticket_service.stores import keys

PEOPLE = 2_000
THRESHOLD = 10
PAGES_AT_ONCE = 16
DEADLINE = 240.0
"""Seconds; about fifty are needed."""


class Dialogs:
    """The people, their pages, and what these were told."""

    def __init__(self, service: Service, redis_url: str, event_id: str) -> None:
        self.event_id, self._service, self._redis_url = event_id, service, redis_url
        self.people = [Visitor(service, event_id) for _ in range(PEOPLE)]
        self.told: dict[str, list[tuple[str, int]]] = defaultdict(list)
        """Status and position, by person, in the order in which they were told."""
        self.admitted: list[str] = []
        self.left: set[str] = set()
        self._listening, self._over = threading.Event(), threading.Event()
        self._turns = deque(self.people)
        """Those who have no page open just now."""
        self._lock = threading.Lock()

    def run(self) -> None:
        """All enter one after the other; then they wait, come in and leave."""
        run_queue(self._service, self.event_id, paused=True)
        for person in self.people:
            person.check()
        with ThreadPoolExecutor(PAGES_AT_ONCE + 1) as pool:
            tasks = [pool.submit(self._listen)]
            assert self._listening.wait(10)
            run_queue(self._service, self.event_id, threshold=THRESHOLD, paused=False)
            tasks += [pool.submit(self._pages) for _ in range(PAGES_AT_ONCE)]
            deadline = time.monotonic() + DEADLINE
            while len(self.left) < PEOPLE and not any(task.done() for task in tasks):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            self._over.set()
        for task in tasks:
            task.result()

    def _pages(self) -> None:
        while not self._over.is_set():
            with self._lock:
                person = self._turns.popleft() if self._turns else None
            if person is None:
                time.sleep(0.05)
            elif self._round(person) == "active":
                person.leave()
                self.left.add(person.id)
            else:
                with self._lock:
                    self._turns.append(person)

    def _round(self, person: Visitor) -> str:
        """The status in the end."""
        heard = self.told[person.id]
        with websocket(self._service.port, person.token) as page:
            page.say('421["join-queue",' + json.dumps({"eventId": self.event_id}) + "]")
            answer = page.read_until(rb"431\[.*\]")
        status, position = re.findall(rb'"status":"(\w+)","position":(\d+)', answer)[-1]
        heard.append((status.decode(), int(position)))
        heard += [person.stands() for _ in range(2)]
        return heard[-1][0]

    def _listen(self) -> None:
        with Redis.from_url(self._redis_url) as redis, redis.pubsub() as channel:
            channel.subscribe(keys.ADMITTED)
            assert channel.get_message(timeout=10)["type"] == "subscribe"
            self._listening.set()
            while not self._over.is_set():
                message = channel.get_message(ignore_subscribe_messages=True, timeout=0.1)
                called = json.loads(message["data"])["userIds"] if message else []
                self.admitted += called
                self._hurry(set(called))

    def _hurry(self, called: set[str]) -> None:
        """Whose turn it is looks next."""
        with self._lock:
            line = sorted(self._turns, key=lambda person: person.id not in called)
            self._turns = deque(line)


@pytest.fixture(scope="module")
def dialogs(servers: Servers, folder: Path) -> Iterator[Dialogs]:
    """After the last one left, or the time is over."""
    database = psycopg2.connect(servers.database_url)
    database.autocommit = True
    event_id = factories.make_event(database).id
    database.close()
    with (
        valkey(subfolder(folder, "dialogs-valkey")) as redis_url,
        run_service(folder, REDIS_URL=redis_url) as service,
    ):
        made = Dialogs(service, redis_url, event_id)
        made.run()
        yield made
        service.kill()


def test_everybody_comes_in_once_and_in_their_order(dialogs: Dialogs):
    assert dialogs.admitted == [person.id for person in dialogs.people]
    assert len(dialogs.left) == PEOPLE


def test_nobody_loses_their_place(dialogs: Dialogs):
    statuses = Counter(status for heard in dialogs.told.values() for status, _ in heard)
    assert statuses.keys() == {"queued", "active"}
    for heard in dialogs.told.values():
        positions = [position for _, position in heard]
        assert all(earlier >= later for earlier, later in pairwise(positions)), heard
        assert heard[-1] == ("active", 0)


def test_most_people_connected_several_times(dialogs: Dialogs):
    """Else the pages did not do what this is about."""
    rounds = sorted(len(heard) // 3 for heard in dialogs.told.values())
    assert rounds[len(rounds) // 2] >= 2
