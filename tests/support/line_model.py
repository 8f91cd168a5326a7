"""A simple model of an event's waiting room, to compare with the scripts on a real Redis.

Time is not faked. To let time pass for a person, their score in Redis is moved into the past, as if
they had come earlier.
"""

import json
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis
from redis.client import PubSub

from ticket_service.stores import keys
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
"""Seconds that a rule lets pass for one person."""

SLACK = 10
"""Seconds that one example takes at most."""

PEOPLE = [str(uuid4()) for _ in range(8)]

people = st.sampled_from(PEOPLE)


def told(channel: PubSub, event_id: str) -> list[dict[str, Any]]:
    """Return the batches of people that were announced since the last call. Instances of other
    tests publish on the same channel."""
    heard: list[dict[str, Any]] = []
    channel.ping()  # its answer comes after everything that was published before
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
    """The model: the people in line, in order, and those inside, with the seconds that each has
    left without a sign of life; and for those inside, the seconds left of the longest stay.

    A person who has none left of either loses their place at the next call of anybody.
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
        """They have paid, or their holds have expired. Those who are in line stay there."""
        self.sweep()
        for user in users & self.inside.keys():
            self.gone(user)
        self.lines.end(self.event_id, dict.fromkeys(sorted(users), 0))

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
        """At the last time, the longest stay is over."""
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

    @precondition(lambda self: self.waiting)  # otherwise it would run too often
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
        """Nobody who was in line before, and still is, has a higher number now."""
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
        """Give a sign of life. Return whether the person has a place."""
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
