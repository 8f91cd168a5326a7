"""Whether a write may have changed something, as its outcome tells."""

from contextlib import suppress

import pytest

from ticket_service.errors import SeatNotFound, ServiceUnavailable
from ticket_service.services.after_write import finishing
from ticket_service.stores.postgres import NothingWritten, RowLocked


def told_of(error: Exception | None) -> list[bool]:
    """What `finish` is told of a write that ends like this."""
    told: list[bool] = []
    with suppress(Exception), finishing(told.append):
        if error is not None:
            raise error
    return told


@pytest.mark.parametrize("error", [None, ServiceUnavailable(), RuntimeError()], ids=repr)
def test_what_may_be_committed_may_have_changed_something(error: Exception | None):
    assert told_of(error) == [True]


@pytest.mark.parametrize("error", [SeatNotFound(), NothingWritten(), RowLocked()], ids=repr)
def test_what_was_refused_has_changed_nothing(error: Exception):
    assert told_of(error) == [False]


def test_the_error_is_passed_on():
    with pytest.raises(SeatNotFound), finishing(lambda changed: None):
        raise SeatNotFound
