"""What the model of a waiting room knows (tests/support/line_model.py), and its own steps."""

import itertools
from typing import Any
from uuid import uuid4

from hypothesis.stateful import RuleBasedStateMachine
from redis import Redis
from redis.client import PubSub

from ticket_service.stores import keys
from ticket_service.stores.waiting_lines import Place, QueueRules, WaitingLines

THRESHOLD, STAY, NO_SHOW, LONGEST, RETURN = 2, 300, 60, 400, 40
RULES = QueueRules(
    threshold=THRESHOLD,
    ttl_seconds=STAY,
    no_show_seconds=NO_SHOW,
    max_stay_seconds=LONGEST,
    return_seconds=RETURN,
    update_seconds=0.1,
)


class LineState(RuleBasedStateMachine):
    """The model: the people in line, in order, and those inside, with the seconds that each has
    left without a sign of life; and the seconds left of the longest stay, for those inside and for
    those who are back in line with the rest of a stay. A person who has none left of either loses
    their place at the next call of anybody.

    Also the people who left, with the seconds in which they may have their place back. People who
    wait or left have a ticket. Those who were inside come first, by the end of their stay as Redis
    has it; then the others, by when they entered the line.
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
        self.left: dict[str, int] = {}
        self.tickets: dict[str, tuple[int, float]] = {}
        self.entered = itertools.count()

    def teardown(self) -> None:
        self.redis.delete(*self.keys)

    def sweep(self) -> None:
        for user, left in (self.waiting | self.inside).items():
            if min(left, self.longest.get(user, left)) <= 0:
                self.gone(user)

    def gone(self, user: str) -> None:
        self.waiting.pop(user, None)
        self.inside.pop(user, None)
        self.numbers.pop(user, None)
        self.told.discard(user)
        self.forget(user)

    def forget(self, user: str) -> None:
        self.longest.pop(user, None)
        self.left.pop(user, None)
        self.tickets.pop(user, None)

    def may_be_back(self, user: str) -> bool:
        return self.left.get(user, 0) > 0 and self.longest.get(user, 1) > 0

    def sign(self, user: str) -> bool:
        """Give a sign of life. Return whether the person has a place."""
        for where in (self.waiting, self.inside):
            if user in where:
                where[user] = STAY
                return True
        return False

    def go(self, user: str) -> None:
        """They leave, and may have the place back."""
        if user in self.inside:
            end: Any = self.redis.zscore(self.keys[2], user)
            self.tickets[user] = 0, end
        ticket, longest = self.tickets[user], self.longest.get(user)
        self.gone(user)
        self.left[user], self.tickets[user] = RETURN, ticket
        if longest is not None:
            self.longest[user] = longest

    def stand_in_line(self, user: str) -> None:
        """Where they stood, or at the end."""
        if self.may_be_back(user):
            del self.left[user]
            self.numbers.clear()  # those behind them stand where they stood too
        else:
            self.forget(user)
            self.tickets[user] = 1, next(self.entered)
        self.waiting[user] = STAY
        line = sorted(self.waiting, key=lambda one: (self.tickets[one], one))
        self.waiting = {one: self.waiting[one] for one in line}

    def let_back_in(self, user: str) -> bool:
        was_inside = self.may_be_back(user) and self.tickets[user][0] == 0
        if not was_inside or len(self.inside) >= self.threshold:
            return False
        del self.left[user], self.tickets[user]
        self.inside[user] = STAY
        return True

    def let_in(self, user: str) -> bool:
        if self.let_back_in(user):
            return True
        if self.paused or self.waiting or len(self.inside) >= self.threshold:
            return False
        self.forget(user)
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
        if user in self.left and not self.may_be_back(user):
            self.forget(user)  # so have the scripts, at some time
        waiting, seen, inside, _, _, left, tickets = self.keys
        for where, key in ((self.waiting, seen), (self.inside, seen), (self.left, left)):
            if user in where:
                where[user] -= seconds
                self.redis.zincrby(key, -seconds * 1000, user)
        if user not in self.longest:
            return
        self.longest[user] -= seconds
        if user in self.tickets:
            self.tickets[user] = 0, self.tickets[user][1] - seconds * 1000
        if user in self.left:
            self.redis.hincrbyfloat(tickets, user, -seconds * 1000)
        else:
            self.redis.zincrby(inside if user in self.inside else waiting, -seconds * 1000, user)
