"""A simple model of an event's waiting room, to compare with the scripts on a real Redis.

Time is not faked. To let time pass for a person, their score in Redis is moved into the past, as if
they had come earlier.
"""

import json
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from redis.client import PubSub

from tests.support.line_state import LONGEST, NO_SHOW, STAY, LineState

AGE, LONG = 30, 150
"""Seconds that a rule lets pass for one person."""

SLACK = 10
"""Seconds that one example takes at most."""

PEOPLE = [str(uuid4()) for _ in range(8)]

BACK = ["enter", "beat", "buy", "show"]

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


class Line(LineState):
    """The model, compared with the scripts at each step."""

    # What people do

    @rule(user=people)
    def enter(self, user: str) -> None:
        self.sweep()
        if not self.sign(user) and not self.let_in(user):
            self.stand_in_line(user)
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

    @rule(user=people)
    def beat(self, user: str) -> None:
        self.sweep()
        if not self.sign(user):
            self.let_back_in(user)
        shown = self.lines.show(self.event_id, user, let_back_in=True)
        assert self.without_wait(shown) == self.place(user)

    @rule(users=st.sets(people, min_size=1))
    def keep(self, users: set[str]) -> None:
        self.sweep()
        for user in users:
            self.sign(user)
        self.lines.keep(self.event_id, sorted(users))

    @rule(user=people)
    def leave(self, user: str) -> None:
        self.sweep()
        if user in self.waiting or user in self.inside:
            self.go(user)
        self.lines.leave(self.event_id, user)

    @rule(user=people, age=st.sampled_from([0, AGE, LONG]), call=st.sampled_from(BACK))
    def load_again(self, user: str, age: int, call: str) -> None:
        """Leave and be back, soon or not."""
        self.leave(user)
        if age:
            self.pass_time(user, age)
        getattr(self, call)(user)

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
        """They have paid, or their holds have expired. Those who wait in line from its end stay."""
        self.sweep()
        for user in users & self.longest.keys():
            self.gone(user)
        self.lines.end(self.event_id, dict.fromkeys(sorted(users), 0))

    # What time does

    @rule(user=people)
    def time_runs_out(self, user: str) -> None:
        self.pass_time(user, STAY)

    @rule(user=people, call=st.sampled_from(["enter", "show", "beat", "keep", "buy", "leave"]))
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
        for user in PEOPLE:
            self.gone(user)

    # What the loop does

    @rule()
    def admit(self) -> None:
        self.sweep()
        room = 0 if self.paused else max(0, self.threshold - len(self.inside))
        admitted = list(self.waiting)[:room]
        for user in admitted:
            del self.waiting[user], self.tickets[user]
            self.inside[user] = NO_SHOW
            self.longest.setdefault(user, LONGEST)  # a new stay, or the rest of one
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
        left: Any = self.scores(self.keys[5])
        assert left.keys() == set(self.redis.hkeys(self.keys[6]))
        assert not left.keys() & seen.keys(), "left, and has a place"
        assert left.keys() >= {user for user in self.left if self.may_be_back(user)}

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
