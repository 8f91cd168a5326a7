"""More is asked than an instance can answer: it goes on answering, and refuses the rest at once."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import urllib3

from bench.crowd import Crowd
from bench.repeated import repeated
from bench.rows import get_request
from tests.support.degradation import eventually
from tests.support.service import Service

pytestmark = pytest.mark.long  # it needs the machine

StartService = Callable[..., Service]

BURDENED = "tests.support.burdened:app"

SHED = (503, "5")
"""Refused unread: status and Retry-After."""

ENOUGH = 0.25
"""Which part of what it can must be answered soon."""

SOON = 3.0
"""Seconds in which an answer must come to be of use."""


def events() -> Iterator[bytes]:
    """Requests for the list of events."""
    return itertools.repeat(get_request("/api/v1/events"))


def capacity(service: Service) -> float:
    """How many it answers a second."""
    with Crowd(service.port, events()) as crowd:
        crowd.at_once(8, seconds=0.5)
        before = crowd.answers[200, ""]
        crowd.at_once(8, seconds=1.5)
        return (crowd.answers[200, ""] - before) / 1.5


def told(service: Service, message: str) -> bool:
    """Whether it has logged this."""
    return any(line["message"] == message for line in service.log_lines())


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Goes on for so long."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def overwhelm(service: Service, goes_on: Callable[[], bool], windows: int) -> tuple[float, Crowd]:
    """Ask four times as much as it can answer.

    Two seconds after `goes_on()` is over, look at `windows` of three seconds, or at as many as it
    takes until a quarter of what it can is answered soon: other programs may need the machine for
    a while. Returns which part it was in the last one, and all answers of that.
    """
    rate = capacity(service)
    with Crowd(service.port, events()) as crowd:
        crowd.paced(4 * rate, goes_on)
        crowd.paced(4 * rate, for_seconds(2))
        for _ in range(windows):
            crowd.answers.clear()
            crowd.times.clear()
            crowd.paced(4 * rate, for_seconds(3))
            soon = sum(seconds < SOON for seconds in crowd.times.get(200, ()))
            if (share := soon / 3 / rate) > ENOUGH:
                break
    return share, crowd


@contextmanager
def probed(service: Service) -> Iterator[list[int]]:
    """The statuses of /health/live, asked again and again while the block runs."""
    statuses: list[int] = []

    def probe() -> None:
        with suppress(urllib3.exceptions.HTTPError):
            statuses.append(service.request("GET", "/health/live").status)

    with repeated(probe, 0.1):
        yield statuses


def test_an_overloaded_instance_answers_some_and_refuses_the_rest_at_once(
    start_service: StartService,
):
    service = start_service(app=BURDENED)
    limit = for_seconds(60)
    with probed(service) as statuses:
        share, crowd = overwhelm(service, lambda: limit() and not told(service, "overloaded"), 10)
    assert share > ENOUGH, (crowd.answers, crowd.lost)
    assert crowd.answers[SHED] > crowd.answers[200, ""], crowd.answers
    assert set(crowd.answers) == {(200, ""), SHED}
    assert set(statuses) == {200}
    eventually(lambda: told(service, "not overloaded any more"), seconds=30)
    with Crowd(service.port, events()) as later:
        later.at_once(8, seconds=0.5)
    assert set(later.answers) == {(200, "")}


def test_without_refusals_nobody_is_answered_soon(start_service: StartService):
    """The negative control."""
    share, crowd = overwhelm(start_service(app=BURDENED, SHEDS="no"), for_seconds(5), 2)
    assert share < ENOUGH, (crowd.answers, crowd.lost)
