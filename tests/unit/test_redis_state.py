"""Redis as an instance sees it: which failures are a hiccup, which an outage, and how it ends."""

import time
from collections.abc import Callable

import pytest

from ticket_service.stores import redis_state
from ticket_service.stores.redis_state import MIN_TRIES, RedisState

FAILURE = OSError()


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> RedisState:
    """One for which an outage needs no time, but tries, and that was answered before."""
    monkeypatch.setattr(redis_state, "OUTAGE_SECONDS", 0)
    monkeypatch.setattr(redis_state, "REST_AFTER_FAILURE", 0)
    state = RedisState()
    state.answered(time.monotonic())
    return state


def fail(state: RedisState, times: int = 1) -> None:
    for _ in range(times):
        state.failed(time.monotonic(), FAILURE)


def lose(state: RedisState) -> None:
    fail(state, 1 + MIN_TRIES)
    assert state.away


def test_one_failure_is_a_hiccup_and_one_answer_ends_it(state: RedisState):
    fail(state)
    assert state.current.value == "hiccup"
    state.answered(time.monotonic())
    assert state.current.value == "well"


def test_an_outage_takes_several_tries(state: RedisState):
    fail(state, MIN_TRIES)
    assert state.current.value == "hiccup"
    fail(state)
    assert state.away


def test_an_outage_takes_some_time(monkeypatch: pytest.MonkeyPatch, state: RedisState):
    monkeypatch.setattr(redis_state, "OUTAGE_SECONDS", 3_600)
    fail(state, 10 * MIN_TRIES)
    assert state.current.value == "hiccup"


def test_whoever_never_had_an_answer_knows_no_outage(state: RedisState):
    new = RedisState()
    fail(new, 10 * MIN_TRIES)
    assert new.current.value == "hiccup"


def test_after_an_outage_it_is_back_for_a_while(state: RedisState, monkeypatch: pytest.MonkeyPatch):
    lose(state)
    state.answered(time.monotonic())
    assert state.current.value == "back"
    state.answered(time.monotonic())
    assert state.current.value == "back"


def test_after_that_while_it_is_well(state: RedisState, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_state, "BACK_SECONDS", 0)
    lose(state)
    state.answered(time.monotonic())
    assert state.current.value == "well"


def test_a_failure_of_an_older_question_says_nothing(state: RedisState):
    asked = time.monotonic()
    state.answered(time.monotonic())
    assert state.failed(asked, FAILURE) is False
    assert state.current.value == "well"


def test_while_it_fails_one_question_at_a_time_goes_out(state: RedisState):
    fail(state)
    now = time.monotonic()
    assert state.may_ask(now, writes=True)
    assert not state.may_ask(now, writes=True)
    state.answered(now)
    assert all(state.may_ask(now, writes=True) for _ in range(3))


def test_while_it_fails_nothing_is_only_read(state: RedisState):
    assert state.may_ask(time.monotonic(), writes=False)
    fail(state)
    assert not state.may_ask(time.monotonic(), writes=False)


@pytest.mark.parametrize("until", [fail, lose])
def test_any_answer_to_a_write_ends_the_failing(
    state: RedisState, until: Callable[[RedisState], None]
):
    until(state)
    state.answered(time.monotonic())
    assert state.may_ask(time.monotonic(), writes=False)
