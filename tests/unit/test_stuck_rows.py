"""Rows that another program keeps locked: who tries them, and who waits without a connection."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
import pytest
from psycopg2 import errors

from ticket_service.stores import stuck_rows
from ticket_service.stores.stuck_rows import Rows, StuckRows

ROW, OTHER = ("a",), ("b",)


@pytest.fixture
def stuck() -> StuckRows:
    """One connection may wait for rows that are stuck."""
    return StuckRows(1)


def fail(stuck: StuckRows, rows: Rows, error: type[Exception] = errors.LockNotAvailable) -> None:
    """A transaction that waited in vain."""
    with suppress(error), stuck.attempt(rows):
        raise error


@contextmanager
def trying(stuck: StuckRows, rows: Rows) -> Iterator[None]:
    """Somebody is at it."""
    with stuck.attempt(rows):
        yield


def test_rows_that_were_never_stuck_are_refused_to_nobody(stuck: StuckRows):
    with trying(stuck, ROW):
        assert stuck.wait(ROW)


@pytest.mark.parametrize("error", [errors.LockNotAvailable, errors.QueryCanceled])
def test_stuck_rows_are_tried_by_one_at_a_time(stuck: StuckRows, error: type[Exception]):
    fail(stuck, ROW, error)
    assert not stuck.refuses(ROW)
    with trying(stuck, ROW):
        assert stuck.refuses(ROW)
        assert not stuck.refuses(OTHER)


def test_all_stuck_rows_together_keep_so_many_connections(stuck: StuckRows):
    fail(stuck, ROW)
    fail(stuck, OTHER)
    with trying(stuck, ROW):
        assert stuck.refuses(OTHER)


def test_one_success_ends_it(stuck: StuckRows):
    fail(stuck, ROW)
    with trying(stuck, ROW):
        pass
    with trying(stuck, ROW):
        assert not stuck.refuses(ROW)


def test_another_failure_says_nothing_of_the_rows(stuck: StuckRows):
    fail(stuck, ROW, errors.DeadlockDetected)
    with trying(stuck, ROW):
        assert not stuck.refuses(ROW)


def test_where_others_got_through_it_was_something_else(stuck: StuckRows):
    with suppress(errors.LockNotAvailable), stuck.attempt(ROW):
        with trying(stuck, ROW):
            pass
        raise errors.LockNotAvailable
    with trying(stuck, ROW):
        assert not stuck.refuses(ROW)


def test_who_waits_goes_on_when_the_other_has_ended(stuck: StuckRows):
    fail(stuck, ROW)
    with trying(stuck, ROW):
        waiting = gevent.spawn(stuck.wait, ROW)
        gevent.sleep(0)
        assert not waiting.ready()
    assert waiting.get(timeout=5) is True


def test_who_waited_long_enough_is_refused(stuck: StuckRows, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stuck_rows, "WAIT_TIMEOUT", 0.05)
    fail(stuck, ROW)
    with trying(stuck, ROW):
        assert gevent.spawn(stuck.wait, ROW).get(timeout=5) is False


def test_a_crowd_is_not_kept_waiting(stuck: StuckRows, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stuck_rows, "MAX_WAITING", 0)
    fail(stuck, ROW)
    with trying(stuck, ROW):
        assert not stuck.wait(ROW)
