"""The row of whole purchases: each by a new buyer, from the event to the paid reservation.

First as many as the instance carries, with BUYERS at once. Then new buyers begin at PACE of that
rate, however long the answers take, and each step is timed.
"""

from __future__ import annotations

import json
import math
import time
from array import array
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from bench.data import Item
from bench.load import WARM_UP
from bench.report import Result
from bench.results import Figure
from bench.rig import Plan
from bench.rows import bearer, get_request, hold_seat, new_token, post_request
from bench.wire import POLL_TIMEOUT, Connection, LoadFailed, Loop

BUYERS = 32
"""Who buy at once while the most is measured that the instance carries."""

MAX_BUYERS = 400
"""Who may be on their way at once at the fixed pace."""

FASTEST = 500
"""Purchases a second for which there is a supply of seats. A faster service ends a phase early."""

PACE = 0.7
"""The fixed pace, as a part of the most."""


def supply(seconds: float) -> int:
    """How many seats one round may use up."""
    return math.ceil(2 * FASTEST * seconds * (1 + WARM_UP))


class Step(NamedTuple):
    """One request of a purchase."""

    name: str
    request: bytes
    statuses: tuple[int, ...] = (200,)
    """What is expected."""
    keep: bool = False
    """Whether the body of the answer is wanted."""


@dataclass
class Purchases:
    """What was measured in one phase."""

    rate: float = 0.0
    """Purchases a second."""
    times: dict[str, array[float]] = field(default_factory=dict)
    """Seconds that a step took, by name, in the order of the steps."""
    wrong: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers with a wrong status, by step and status. Such a purchase ends there."""


Purchase = Generator[Step, Connection, None]


def purchase(seat: Item, jwt_secret: str, service_token: str) -> Purchase:
    """The steps of one buyer. Sent to it is the connection with the answer to the last step."""
    token = new_token(jwt_secret)
    mine = bearer(token)
    seat_map = f"/api/v1/seats/events/{seat.event_id}"
    yield Step("GET /events/{id}", get_request(f"/api/v1/events/{seat.event_id}"))
    check = f"/api/v1/queue/check/{seat.event_id}"
    yield Step("POST /queue/check/{id}", post_request(check, {}, mine))
    for _ in range(2):
        status = get_request(f"/api/v1/queue/status/{seat.event_id}", mine)
        yield Step("GET /queue/status/{id}", status)
    answer = yield Step(
        "GET /seats/events/{id}, gzip", get_request(seat_map, "Accept-Encoding: gzip")
    )
    known = f"If-None-Match: {answer.header(b'ETag')}"
    again = get_request(seat_map, "Accept-Encoding: gzip", known)
    yield Step("the same, If-None-Match", again, (200, 304))
    answer = yield Step("POST /seats/reserve", hold_seat(seat, token), (201,), keep=True)
    reservation = json.loads(answer.body or b"")["reservation"]
    detail = get_request(f"/api/v1/reservations/{reservation['id']}", mine)
    yield Step("GET /reservations/{id}", detail)
    payment = {
        "paymentId": f"bench-{reservation['id']}",
        "status": "completed",
        "paymentMethod": "card",
    }
    path = f"/api/v1/internal/reservations/{reservation['id']}/payment"
    yield Step("POST …/payment", post_request(path, payment, f"X-Internal-Token: {service_token}"))
    yield Step("GET /reservations/{id}, paid", detail)


class _Phase:
    """Buyers on their way. `rate`: how many begin a second; None: as many as come to an end."""

    def __init__(
        self,
        loop: Loop,
        ports: Sequence[int],
        purchases: Iterator[Purchase],
        seconds: float,
        rate: float | None,
    ) -> None:
        self._purchases = purchases
        self._rate = rate
        count = BUYERS if rate is None else MAX_BUYERS
        turns = [ports[number % len(ports)] for number in range(count)]
        self._idle = [loop.open(port, self._answered) for port in turns]
        self._going: dict[Connection, tuple[Purchase, Step]] = {}
        started = time.perf_counter()
        self._due = started
        self._begin = started + seconds * WARM_UP
        self._end = self._begin + seconds
        self._completed = 0
        self.result = Purchases()

    def run(self, loop: Loop) -> Purchases:
        """Let people buy until the time is over. Raises LoadFailed."""
        loop.run(self._tick)
        if not self._completed and not self.result.wrong:
            raise LoadFailed("not a purchase was completed")
        self.result.rate = self._completed / (self._end - self._begin)
        return self.result

    def _tick(self, now: float) -> bool:
        if not self._completed and self._going:
            self._end = max(self._end, now + POLL_TIMEOUT)  # a slow machine: until there is one
        while now < self._end and self._idle and (self._rate is None or self._due <= now):
            if self._rate is not None:
                self._due += 1 / self._rate
            self._start(self._idle.pop(), now)
        if self._rate is not None and not self._idle:
            raise LoadFailed(f"{MAX_BUYERS} buyers are on their way: the pace is too fast")
        return now < self._end

    def _start(self, connection: Connection, now: float) -> None:
        following = next(self._purchases, None)
        if following is None:
            self._end = min(self._end, now)
            self._idle.append(connection)
            return
        self._send(connection, following, next(following), now)

    def _send(self, connection: Connection, steps: Purchase, step: Step, now: float) -> None:
        self._going[connection] = steps, step
        self.result.times.setdefault(step.name, array("d"))
        connection.send(step.request, now, keep=step.keep)

    def _answered(self, connection: Connection, status: int) -> None:
        now = time.perf_counter()
        steps, step = self._going.pop(connection)
        counts = self._begin <= now < self._end
        if counts:
            self.result.times[step.name].append(now - connection.sent_at)
        if status not in step.statuses:
            self.result.wrong[step.name, status] += 1
        else:
            try:
                following = steps.send(connection)
            except StopIteration:
                self._completed += counts
            else:
                self._send(connection, steps, following, now)
                return
        self._idle.append(connection)


class Round(NamedTuple):
    """Both phases of one round."""

    most: Purchases
    paced: Purchases
    ratio: float
    """The most, divided by the yardstick's rate."""


def measure(plan: Plan, port: int, seats: Iterator[Item], yardstick: Result) -> Round:
    """Measure one round. Raises LoadFailed."""
    purchases = (purchase(seat, plan.jwt_secret, plan.service_token) for seat in seats)
    most = buy([port], purchases, plan.seconds, None)
    paced = buy([port], purchases, plan.seconds, PACE * most.rate)
    return Round(most, paced, most.rate / yardstick.measurement.rate)


def buy(
    ports: Sequence[int], purchases: Iterator[Purchase], seconds: float, rate: float | None
) -> Purchases:
    """Let `rate` buyers a second begin, or BUYERS buy without a pause if that is None.

    Each stays at one of the ports. Raises LoadFailed.
    """
    try:
        with Loop() as loop:
            return _Phase(loop, ports, purchases, seconds, rate).run(loop)
    except OSError as error:
        raise LoadFailed(f"the server cannot be reached: {error}") from error


def table(rounds: Sequence[Round]) -> list[str]:
    """What the rounds say, as medians."""
    rate = median(measured.most.rate for measured in rounds)
    ratio = median(measured.ratio for measured in rounds)
    lines = [
        f"Purchases: {rate:,.0f} a second and core, {ratio:.3f} of Y, with {BUYERS} buyers at once;"
        f" each step at {PACE:.0%} of that:"
    ]
    for name in rounds[0].paced.times:
        steps = [measured.paced.times[name] for measured in rounds]
        p50, p99 = (median(_percentile(times, at) for times in steps) * 1000 for at in (50, 99))
        lines.append(f"  {name:<28} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")
    wrong = _wrong(rounds)
    return [*lines, f"  Wrong answers: {dict(wrong)}"] if wrong else lines


def _percentile(times: Sequence[float], at: int) -> float:
    """NaN where a slow machine did not come so far."""
    return sorted(times)[len(times) * at // 100] if times else math.nan


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """What is kept of them."""
    return [Figure("purchases", "of Y", [measured.ratio for measured in rounds])]


def faults(rounds: Sequence[Round]) -> int:
    """How many answers were wrong."""
    return _wrong(rounds).total()


def _wrong(rounds: Sequence[Round]) -> Counter[tuple[str, int]]:
    """Answers with a wrong status, by step and status."""
    phases = [phase for measured in rounds for phase in (measured.most, measured.paced)]
    return sum((phase.wrong for phase in phases), Counter())
