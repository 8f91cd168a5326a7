"""The waiting room's scripts beside a simple model: anything, in any order, on a real Redis.

Time is not faked: where somebody's time runs out or passes, their score in Redis is moved into the
past, as if they had come sooner.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis
from redis.client import PubSub

from dev.servers import Servers
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis as Store
from ticket_service.stores.waiting_lines import Place, QueueRules, WaitingLines

THRESHOLD, STAY, NO_SHOW, LONGEST = 2, 300, 60, 400
RULES = QueueRules(
    threshold=THRESHOLD,
    ttl_seconds=STAY,
    no_show_seconds=NO_SHOW,
    max_stay_seconds=LONGEST,
    update_seconds=0.1,
)
AGE, LONG = 30, 150
"""Seconds that pass for one person at a time, on request."""

SLACK = 10
"""Seconds that one example takes at most."""

PEOPLE = [str(uuid4()) for _ in range(8)]

people = st.sampled_from(PEOPLE)


@pytest.fixture
def lines(servers: Servers) -> WaitingLines:
    return WaitingLines(Store(servers.redis_url), RULES)


@pytest.fixture
def channel(servers: Servers) -> Iterator[PubSub]:
    """What all instances hear. Protocol 2, in which a listener's PING has an answer like others."""
    with (
        Redis.from_url(servers.redis_url, decode_responses=True, protocol=2) as client,
        client.pubsub() as listener,
    ):
        listener.subscribe(keys.ADMITTED)
        yield listener


def told(channel: PubSub, event_id: str) -> list[dict[str, Any]]:
    """The batches of people that were announced since the last call; other tests' instances tell
    of their events on the same channel."""
    heard: list[dict[str, Any]] = []
    channel.ping()  # its answer comes after all that was published before
    while True:
        message = channel.get_message(timeout=5)
        assert message is not None
        if message["type"] == "pong":
            return heard
        if message["type"] == "message":
            batch = json.loads(message["data"])
            if batch["eventId"] == event_id:
                heard.append(batch)


class Line(RuleBasedStateMachine):
    """The model: who waits, in order, and who is inside, each with the seconds that they have left
    without a sign of life; and how many those inside have left with them.

    Whoever has none left of either has lost their place as soon as anybody does anything.
    """

    def __init__(self, lines: WaitingLines, redis: Redis, channel: PubSub) -> None:
        super().__init__()
        self.lines, self.redis, self.channel = lines, redis, channel
        self.event_id = str(uuid4())
        self.keys = keys.waiting_room(self.event_id)
        self.waiting: dict[str, int] = {}
        self.inside: dict[str, int] = {}
        self.longest: dict[str, int] = {}
        self.threshold, self.paused = THRESHOLD, False
        self.numbers: dict[str, int] = {}
        self.most_inside = 0
        self.told: set[str] = set()

    def teardown(self) -> None:
        self.redis.delete(*self.keys)

    # What people do

    @rule(user=people)
    def enter(self, user: str) -> None:
        self.sweep()
        if not self.sign(user) and not self.let_in(user):
            self.waiting[user] = STAY
        assert self.without_wait(self.lines.enter(self.event_id, user)) == self.place(user)

    @initialize(users=st.lists(people, unique=True))
    def rush(self, users: list[str]) -> None:
        for user in users:
            self.enter(user)

    @rule(user=people)
    def show(self, user: str) -> None:
        self.sweep()
        self.sign(user)
        assert self.without_wait(self.lines.show(self.event_id, user)) == self.place(user)

    @rule(users=st.sets(people, min_size=1))
    def keep(self, users: set[str]) -> None:
        self.sweep()
        for user in users:
            self.sign(user)
        self.lines.keep(self.event_id, sorted(users))

    @rule(user=people)
    def leave(self, user: str) -> None:
        self.sweep()
        self.gone(user)
        self.lines.leave(self.event_id, user)

    @rule(user=people)
    def buy(self, user: str) -> None:
        self.sweep()
        self.sign(user)
        passes = user in self.inside or (user not in self.waiting and self.let_in(user))
        gate = self.lines.pass_gate(self.event_id, user, [], "owner")
        assert not gate.locked
        if passes:
            assert gate.refused is None
        else:
            assert gate.refused is not None
            assert self.without_wait(gate.refused) == self.place(user)

    @rule(users=st.sets(people, min_size=1))
    def end(self, users: set[str]) -> None:
        """What they came for is done, or lost; who waits again goes on waiting."""
        self.sweep()
        for user in users & self.inside.keys():
            self.gone(user)
        self.lines.end(self.event_id, sorted(users))

    # What time does

    @rule(user=people)
    def time_runs_out(self, user: str) -> None:
        self.pass_time(user, STAY)

    @rule(user=people, call=st.sampled_from(["enter", "show", "keep", "buy", "leave"]))
    def comes_too_late(self, user: str, call: str) -> None:
        self.pass_time(user, STAY)
        if call == "keep":
            self.keep({user})
        else:
            getattr(self, call)(user)

    @rule(user=people)
    def time_passes(self, user: str) -> None:
        self.pass_time(user, AGE)

    @rule(user=people, call=st.sampled_from(["show", "enter", "buy"]))
    def comes_again_and_again(self, user: str, call: str) -> None:
        """The last time, a stay has been as long as it may."""
        for _ in range(LONGEST // LONG + 1):
            self.pass_time(user, LONG)
            getattr(self, call)(user)

    # What admins do

    @rule(threshold=st.integers(1, 4))
    def set_threshold(self, threshold: int) -> None:
        self.sweep()
        self.threshold = threshold
        self.control(threshold, None)

    @rule()
    def pause(self) -> None:
        self.sweep()
        self.paused = True
        self.control(None, True)

    @rule()
    def resume(self) -> None:
        self.sweep()
        self.paused = False
        self.control(None, False)

    @rule()
    def look(self) -> None:
        self.sweep()
        self.control(None, None)

    @precondition(lambda self: self.waiting)  # else it would come too often
    @rule()
    def clear(self) -> None:
        self.lines.clear(self.event_id)
        self.waiting, self.inside, self.longest = {}, {}, {}
        self.told.clear()

    # What the loop does

    @rule()
    def admit(self) -> None:
        self.sweep()
        room = 0 if self.paused else max(0, self.threshold - len(self.inside))
        admitted = list(self.waiting)[:room]
        for user in admitted:
            del self.waiting[user]
            self.inside[user], self.longest[user] = NO_SHOW, LONGEST
            assert user not in self.told, "told twice"
            self.told.add(user)
        done = self.lines.admit(self.event_id)
        assert (done.admitted, done.more, done.threshold) == (len(admitted), False, self.threshold)
        assert (done.waiting, done.inside) == (len(self.waiting), len(self.inside))
        expected = [{"eventId": self.event_id, "userIds": admitted}] if admitted else []
        assert told(self.channel, self.event_id) == expected

    # What is always true

    @invariant()
    def redis_is_as_the_model(self) -> None:
        waiting = self.redis.zrange(self.keys[0], 0, -1)
        seen, inside = self.scores(self.keys[1]), self.scores(self.keys[2])
        assert waiting == list(self.waiting), "first come, first served"
        assert inside.keys() == self.inside.keys()
        assert seen.keys() == self.waiting.keys() | self.inside.keys()
        assert not inside.keys() & set(waiting), "in both places"
        assert len(inside) <= max(self.threshold, self.most_inside), "over the threshold"
        self.most_inside = len(inside)

        seconds, microseconds = self.redis.time()
        now = seconds + microseconds / 1e6
        silence = {user: at / 1000 + STAY - now for user, at in seen.items()}
        for user, expected in (self.waiting | self.inside).items():
            assert expected - SLACK < silence[user] <= expected + 0.01, "the time they have left"
        for user, end in inside.items():
            expected = self.longest[user]
            assert expected - SLACK < end / 1000 - now <= expected + 0.01, "the longest stay"

    @invariant()
    def nobody_falls_back(self) -> None:
        """Who was in the line before, and stayed, has no higher number now."""
        numbers = {user: number for number, user in enumerate(self.waiting)}
        for user in numbers.keys() & self.numbers.keys():
            assert numbers[user] <= self.numbers[user]
        self.numbers = numbers

    @invariant()
    def only_admissions_are_told(self) -> None:
        assert told(self.channel, self.event_id) == []

    # The model's own steps

    def sweep(self) -> None:
        for user, left in (self.waiting | self.inside).items():
            if min(left, self.longest.get(user, left)) <= 0:
                self.gone(user)

    def gone(self, user: str) -> None:
        self.waiting.pop(user, None)
        self.inside.pop(user, None)
        self.longest.pop(user, None)
        self.numbers.pop(user, None)
        self.told.discard(user)

    def sign(self, user: str) -> bool:
        """A sign of life; whether they have a place."""
        for where in (self.waiting, self.inside):
            if user in where:
                where[user] = STAY
                return True
        return False

    def let_in(self, user: str) -> bool:
        if self.paused or self.waiting or len(self.inside) >= self.threshold:
            return False
        self.inside[user], self.longest[user] = STAY, LONGEST
        return True

    def place(self, user: str) -> tuple[object, ...]:
        status, position = "not_in_queue", 0
        if user in self.waiting:
            status, position = "queued", list(self.waiting).index(user) + 1
        if user in self.inside:
            status = "active"
        return (status, position, len(self.waiting), len(self.inside), self.threshold)

    def without_wait(self, place: Place) -> tuple[object, ...]:
        assert (place.wait > 0) == (place.status == "queued")
        assert (place.ends_at > 0) == (place.status == "active")
        return (place.status, place.position, place.waiting, place.inside, place.threshold)

    def control(self, threshold: int | None, paused: bool | None) -> None:
        seen = self.lines.control(self.event_id, threshold, paused)
        assert (seen.waiting, seen.inside) == (len(self.waiting), len(self.inside))
        assert (seen.threshold, seen.paused) == (self.threshold, self.paused)

    def scores(self, key: str) -> dict[str, float]:
        pairs: Any = self.redis.zrange(key, 0, -1, withscores=True)
        return dict(pairs)

    def pass_time(self, user: str, seconds: int) -> None:
        for where, key in (
            (self.waiting, self.keys[1]),
            (self.inside, self.keys[1]),
            (self.longest, self.keys[2]),
        ):
            if user in where:
                where[user] -= seconds
                self.redis.zincrby(key, -seconds * 1000, user)


def test_the_scripts_do_what_the_model_does(lines: WaitingLines, redis: Redis, channel: PubSub):
    class Here(Line):
        def __init__(self) -> None:
            super().__init__(lines, redis, channel)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_clock_that_was_set_back_lets_nobody_overtake(lines: WaitingLines, redis: Redis):
    """Nor two who come in the same microsecond: each ticket is above the last one's."""
    event_id, first, *others = (str(uuid4()) for _ in range(10))
    lines.control(event_id, paused=True)
    lines.enter(event_id, first)
    redis.zincrby(keys.waiting_room(event_id)[0], 3_600_000_000, first)  # it was an hour later
    assert [lines.enter(event_id, user).position for user in others] == [*range(2, 10)]
    assert lines.show(event_id, first).position == 1
    redis.delete(*keys.waiting_room(event_id))


def test_a_batch_of_a_thousand_is_one_call_and_one_message(
    lines: WaitingLines, redis: Redis, channel: PubSub
):
    event_id = str(uuid4())
    crowd = [str(uuid4()) for _ in range(2_500)]
    lines.control(event_id, paused=True)
    for user in crowd:
        lines.enter(event_id, user)
    lines.control(event_id, threshold=2_400, paused=False)
    rounds = [lines.admit(event_id) for _ in range(4)]
    assert [done.admitted for done in rounds] == [1_000, 1_000, 400, 0]
    assert [done.more for done in rounds] == [True, True, False, False]
    assert (rounds[-1].waiting, rounds[-1].inside) == (100, 2_400)
    batches = told(channel, event_id)
    assert [user for batch in batches for user in batch["userIds"]] == crowd[:2_400]
    assert len(batches) == 3
    redis.delete(*keys.waiting_room(event_id))


def test_thousands_whose_time_ran_out_are_swept(lines: WaitingLines, redis: Redis, channel: PubSub):
    """In as many calls as it takes, before anybody is let in: not one of them is."""
    event_id = str(uuid4())
    silent, patient = [str(uuid4()) for _ in range(2_500)], str(uuid4())
    _, seen, inside, *_ = keys.waiting_room(event_id)
    lines.control(event_id, paused=True)
    for user in [*silent, patient]:
        lines.enter(event_id, user)
    redis.zadd(seen, dict.fromkeys(silent, 1))
    lines.control(event_id, paused=False)
    while (done := lines.admit(event_id)).more:
        assert done.admitted == 0
    assert (done.admitted, done.waiting) == (1, 0)
    assert redis.zrange(inside, 0, -1) == redis.zrange(seen, 0, -1) == [patient]
    assert told(channel, event_id) == [{"eventId": event_id, "userIds": [patient]}]
    redis.delete(*keys.waiting_room(event_id))
