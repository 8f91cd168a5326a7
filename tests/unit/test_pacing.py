"""How much one person and one client may send, and in which rounds a deferred event is tried."""

import pytest

from ticket_service.errors import RateLimited
from ticket_service.realtime.budgets import NEWCOMER, SIGNED_IN, Budget, BudgetSpent
from ticket_service.realtime.message_limit import BURST, MessageLimit
from ticket_service.services.deferred_event import (
    FAILURES_TO_LOG,
    FIRST_PAUSE,
    FIRST_WAIT_MS,
    MAX_MISSED,
    MAX_PAUSE,
    MAX_WAIT_MS,
    DeferredEvent,
)


def test_a_person_may_send_a_burst_and_no_more():
    limit = MessageLimit()
    _count(limit, BURST)
    with pytest.raises(RateLimited):
        _count(limit, 2)  # on a busy machine one has come free meanwhile
    limit.count("another")


def _count(limit: MessageLimit, messages: int) -> None:
    for _ in range(messages):
        limit.count("one")


def test_a_newcomer_may_send_little_and_regains_nothing():
    budget = Budget()
    budget.spend(NEWCOMER.burst)
    with pytest.raises(BudgetSpent):
        budget.spend()


def test_who_has_signed_in_may_send_more():
    budget = Budget()
    budget.spend(NEWCOMER.burst)
    budget.allowance = SIGNED_IN
    budget.spend(SIGNED_IN.burst - NEWCOMER.burst)
    with pytest.raises(BudgetSpent):
        budget.spend(SIGNED_IN.burst)


# The rounds of an event whose rows others have locked


def pause(event: DeferredEvent) -> float:
    """Seconds until its next turn."""
    return event.next_at - event.since


def test_a_round_without_a_missed_row_is_the_last():
    event = DeferredEvent("event")
    assert event.ticket_type_id is None
    event.note(5, [], [], more=True)
    assert not event.over
    event.note(2, [], [], more=False)
    assert event.over


def test_a_round_goes_through_the_locked_ticket_types_and_then_without():
    event = DeferredEvent("event", ["b", "a"])
    assert (event.ticket_type_id, event.missed) == ("b", ["a"])
    event.note(1, [], [], more=False)
    assert (event.ticket_type_id, event.missed) == ("a", [])
    event.note(1, [], [], more=False)
    assert event.ticket_type_id is None
    event.note(0, [], [], more=False)
    assert event.over


def test_a_ticket_type_that_stays_locked_is_passed_over():
    event = DeferredEvent("event", ["a"])
    event.note_locked()
    assert (event.ticket_type_id, event.missed) == (None, ["a"])
    event.note(3, [], [], more=False)
    assert not event.over
    assert event.ticket_type_id == "a"  # in the next round


def test_a_ticket_type_with_more_to_end_has_another_turn():
    event = DeferredEvent("event", ["a"])
    event.note(100, [], [], more=True)
    assert event.ticket_type_id == "a"


def test_a_ticket_type_found_locked_on_the_way_is_waited_for_too():
    event = DeferredEvent("event")
    event.note(1, [], ["new"], more=False)
    assert event.ticket_type_id == "new"
    assert not event.over


def test_a_round_ends_when_too_many_seats_are_locked():
    event = DeferredEvent("event")
    event.note(0, map(str, range(MAX_MISSED)), [], more=True)
    assert event.failures == 1
    assert event.missed == []  # a new round has seen none yet


def test_pauses_and_waits_grow_while_nothing_can_be_ended():
    event = DeferredEvent("event")
    assert event.wait_ms == FIRST_WAIT_MS
    pauses = []
    for _ in range(FAILURES_TO_LOG + 20):
        before = event.next_at
        event.note(0, ["seat"], [], more=False)
        assert event.next_at > before
        pauses.append(pause(event))
    assert FIRST_PAUSE < pauses[0] < pauses[-1]
    assert MAX_PAUSE <= pauses[-1] < MAX_PAUSE + 5
    assert event.wait_ms == MAX_WAIT_MS
    event.note(1, ["seat"], [], more=False)
    assert (event.failures, event.wait_ms) == (0, FIRST_WAIT_MS)


def test_a_failure_ends_the_round():
    event = DeferredEvent("event", ["a"])
    event.note_failure()
    assert (event.failures, event.over, event.ticket_type_id) == (1, False, "a")
