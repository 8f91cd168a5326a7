"""The estimated wait is honest: a steady flow, in real time, with small numbers.

Fifty people inside for a second each, four hundred in line, and as many arrive as are served. The
scripts are driven directly, so that the test's own pace is not that of HTTP on a busy machine.
"""

import heapq
import random
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

import pytest
from redis import Redis

from dev.servers import Servers
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis as Store
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

THRESHOLD = 50
MEAN_STAY = 1.0
LINE = 400
ARRIVALS = 9.0
"""Seconds during which people arrive; the last of them has waited about as long again."""

ADMISSION_INTERVAL = 0.1


class Wait(NamedTuple):
    """One person's: what they were told on entering, and what it was."""

    estimate: int
    true: float


@pytest.fixture
def start_lines(servers: Servers) -> Callable[..., WaitingLines]:
    def start(threshold: int, ttl_seconds: int = 300) -> WaitingLines:
        rules = QueueRules(
            threshold=threshold,
            ttl_seconds=ttl_seconds,
            no_show_seconds=60,
            max_stay_seconds=900,
            return_seconds=20,
            update_seconds=1,
        )
        return WaitingLines(Store(servers.redis_url), rules)

    return start


class Flow:
    """People who arrive, wait, stay and leave."""

    def __init__(self, lines: WaitingLines) -> None:
        self.lines = lines
        self.event_id = str(uuid4())
        self.chance = random.Random(7)
        self.waits: list[Wait] = []
        """Of those who entered when a pace was known."""
        self.rates: list[float] = []
        self._queue: deque[tuple[str, float, int | None]] = deque()
        self._stays: list[tuple[float, str]] = []

    def run(self) -> None:
        for _ in range(THRESHOLD + LINE):
            self.arrive(known=False)
        start = time.monotonic()
        next_arrival = next_admission = start
        known = False
        while self._queue and (self._queue[0][1] < start + ARRIVALS):
            now = time.monotonic()
            while next_arrival <= now < start + 2 * ARRIVALS:  # the line stays as long as it is
                self.arrive(known)
                next_arrival += self.chance.expovariate(THRESHOLD / MEAN_STAY)
            while self._stays and self._stays[0][0] <= now:
                self.lines.leave(self.event_id, heapq.heappop(self._stays)[1])
            if next_admission <= now:
                self.admit()
                rate = self.lines.control(self.event_id).rate
                known = rate > 1  # before, it is fifty in three hundred seconds
                if known:
                    self.rates.append(rate)
                next_admission = now + ADMISSION_INTERVAL
            time.sleep(0.002)

    def arrive(self, known: bool) -> None:
        user = str(uuid4())
        place = self.lines.enter(self.event_id, user)
        if place.status == "active":
            self._stay(user)
        else:
            self._queue.append((user, time.monotonic(), place.wait if known else None))

    def admit(self) -> None:
        admitted = self.lines.admit(self.event_id).admitted
        now = time.monotonic()
        for _ in range(admitted):
            user, entered, estimate = self._queue.popleft()
            self._stay(user)
            if estimate is not None:
                self.waits.append(Wait(estimate, now - entered))

    def _stay(self, user: str) -> None:
        stay = self.chance.uniform(0.5 * MEAN_STAY, 1.5 * MEAN_STAY)
        heapq.heappush(self._stays, (time.monotonic() + stay, user))


def test_nine_of_ten_wait_about_as_long_as_they_were_told(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    flow = Flow(start_lines(THRESHOLD))
    flow.run()
    assert len(flow.waits) > 300
    assert min(wait.true for wait in flow.waits) > 5  # long enough to be told from the rounding
    honest = [
        wait for wait in flow.waits if abs(wait.estimate - wait.true) <= 0.25 * wait.true + 0.5
    ]
    assert len(honest) >= 0.9 * len(flow.waits), flow.waits[::20]
    assert 0.7 * THRESHOLD / MEAN_STAY < flow.rates[-1] < 1.3 * THRESHOLD / MEAN_STAY
    redis.delete(*keys.waiting_room(flow.event_id))


@pytest.mark.parametrize(("threshold", "stay"), [(1, 60), (5, 300), (100, 300)])
def test_before_there_is_a_pace_everyone_is_taken_to_stay_his_time(
    start_lines: Callable[..., WaitingLines], redis: Redis, threshold: int, stay: int
):
    lines, event_id = start_lines(threshold, stay), str(uuid4())
    places = [lines.enter(event_id, str(uuid4())) for _ in range(threshold + 20)]
    assert [place.wait for place in places[:threshold]] == [0] * threshold
    expected = [position * stay / threshold for position in range(1, 21)]
    assert [place.wait for place in places[threshold:]] == pytest.approx(expected, abs=0.51)
    redis.delete(*keys.waiting_room(event_id))


def test_who_is_about_to_come_in_waits_a_second(
    start_lines: Callable[..., WaitingLines], redis: Redis
):
    """There is room for them already; never zero, which means that nobody waits."""
    lines, event_id = start_lines(5), str(uuid4())
    lines.control(event_id, paused=True)
    places = [lines.enter(event_id, str(uuid4())) for _ in range(6)]
    assert [place.wait for place in places] == [1, 1, 1, 1, 1, 60]
    redis.delete(*keys.waiting_room(event_id))
