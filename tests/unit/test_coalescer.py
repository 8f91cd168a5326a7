"""One run for many callers, and never one that began before the caller came."""

import gevent
from gevent.event import Event

from ticket_service.stores.coalescer import Coalescer


class Work:
    """Something that takes as long as the test wants, and gives the number of its run."""

    def __init__(self) -> None:
        self.runs = 0
        self.may_end = Event()

    def __call__(self) -> int:
        self.runs += 1
        mine = self.runs
        assert self.may_end.wait(5)
        return mine


def test_who_comes_while_it_runs_shares_the_next_run():
    coalescer, work = Coalescer[int](), Work()
    first = gevent.spawn(coalescer.run, "key", work)
    gevent.sleep(0)
    late = [gevent.spawn(coalescer.run, "key", work) for _ in range(10)]
    gevent.sleep(0)
    assert work.runs == 1
    work.may_end.set()
    assert first.get(timeout=5) == 1
    assert [one.get(timeout=5) for one in late] == [2] * 10
    assert work.runs == 2


def test_a_run_that_is_over_is_not_shared():
    coalescer, work = Coalescer[int](), Work()
    work.may_end.set()
    assert [coalescer.run("key", work) for _ in range(3)] == [1, 2, 3]


def test_other_keys_do_not_wait():
    coalescer, work = Coalescer[int](), Work()
    waiting = gevent.spawn(coalescer.run, "key", work)
    gevent.sleep(0)
    assert coalescer.run("other", lambda: 7) == 7
    assert not waiting.ready()
    work.may_end.set()
    assert waiting.get(timeout=5) == 1


def test_what_a_run_raises_is_raised_to_all_who_share_it():
    coalescer, may_fail = Coalescer[int](), Event()

    def fail() -> int:
        assert may_fail.wait(5)
        raise ValueError

    first = gevent.spawn(coalescer.run, "key", lambda: may_fail.wait(5) and 1)
    gevent.sleep(0)
    late = [gevent.spawn(_error_of, coalescer, fail) for _ in range(3)]
    gevent.sleep(0)
    may_fail.set()
    assert first.get(timeout=5) == 1
    assert [one.get(timeout=5) for one in late] == [ValueError] * 3
    assert coalescer.run("key", lambda: 2) == 2  # and nothing is left of it


def test_a_caller_that_is_killed_leaves_nothing_behind():
    coalescer, work = Coalescer[int](), Work()
    first = gevent.spawn(coalescer.run, "key", work)
    gevent.sleep(0)
    second = gevent.spawn(coalescer.run, "key", work)
    gevent.sleep(0)
    second.kill()
    work.may_end.set()
    assert first.get(timeout=5) == 1
    assert coalescer.run("key", work) == 2


def _error_of(coalescer: Coalescer[int], work: object) -> type[BaseException] | None:
    try:
        coalescer.run("key", work)  # type: ignore[arg-type]
    except ValueError as error:
        return type(error)
    return None
