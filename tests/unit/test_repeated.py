"""Doing something again and again beside something else, as the benchmarks do."""

import time

import pytest

from bench.repeated import repeated


def test_it_is_done_until_the_block_ends():
    done: list[float] = []
    with repeated(lambda: done.append(time.monotonic()), 0.01):
        while len(done) < 3:
            time.sleep(0.01)
    count = len(done)
    time.sleep(0.1)
    assert len(done) == count


def test_it_waits_first():
    began, done = time.monotonic(), []
    with repeated(lambda: done.append(time.monotonic()), 0.01, after=0.3):
        while not done:
            time.sleep(0.01)
    assert done[0] - began > 0.3


def test_what_it_raises_is_raised_when_the_block_ends():
    reached = False

    def block() -> None:
        nonlocal reached
        with repeated(lambda: 1 // 0, 0.01):
            time.sleep(0.1)
            reached = True

    with pytest.raises(ZeroDivisionError):
        block()
    assert reached
