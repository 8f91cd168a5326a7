"""The history checker on histories written by hand: the waiting room, and what watchers see."""

import pytest

from chaos.checks import RULES
from chaos.variants_run import RED
from tests.support.histories import Story


@pytest.fixture
def story():
    return Story(threshold=2)


def test_each_check_has_its_red():
    assert sorted(red.rule for red in RED.values()) == sorted(RULES)


def test_as_many_inside_as_may_be_are_fine(story):
    story.sample(1, "a", "b")
    for person in "ab":
        story.visit(person, 0, "active")
        story.visit(person, 2, "active")
    assert story.found("threshold") == []


def test_one_too_many_in_redis_is_found(story):
    story.sample(1, "a", "b", "c")
    assert len(story.found("threshold")) == 1


def told_inside(story, **more):
    """Three people are told twice that they are inside."""
    for person in "abc":
        story.visit(person, 0, "active")
        story.visit(person, 2, "active", **more)


def test_one_too_many_by_what_people_were_told_is_found(story):
    told_inside(story)
    assert len(story.found("threshold")) == 1


def test_another_stay_may_have_begun_in_between(story):
    told_inside(story, stay="another")
    assert story.found("threshold") == []


def test_a_stay_across_a_loss_of_redis_is_not_certain(story):
    story.fault(0.5, 1, "redis")
    told_inside(story)
    assert story.found("threshold") == []


def test_another_fault_changes_nothing(story):
    story.fault(0.5, 1)
    told_inside(story)
    assert len(story.found("threshold")) == 1


def test_who_left_was_not_inside_all_the_while(story):
    for person in "abc":
        story.visit(person, 0, "active")
    story.visit("c", 1, "", action="leave")
    for person in "abc":
        story.visit(person, 2, "active")
    assert story.found("threshold") == []


def waited(story, **more):
    """One person waits from 0 to 9."""
    story.visit("early", 0, "queued")
    for at in (3, 6):
        story.visit("early", at, "queued", **more)
    story.visit("early", 9, "queued")


def test_those_who_came_first_are_let_in_first(story):
    waited(story)
    story.visit("late", 1, "queued")
    story.visit("late", 8.95, "active")
    story.visit("early", 10, "active")
    assert story.found("order") == []


def test_who_is_let_in_before_someone_who_waits_is_found(story):
    waited(story)
    story.visit("late", 1, "queued")
    story.visit("late", 8, "active")
    [what] = story.found("order")
    assert what.startswith("late")


def test_who_asked_before_the_first_was_told_may_have_come_first(story):
    waited(story)
    story.visit("late", 0.05, "queued")
    story.visit("late", 2, "active")
    assert story.found("order") == []


@pytest.mark.parametrize("action", ["check", "leave"])
def test_who_left_or_entered_again_may_have_lost_the_place(story, action):
    waited(story, action=action)
    story.visit("late", 1, "queued")
    story.visit("late", 8, "active")
    assert story.found("order") == []


def test_who_was_not_in_line_in_between_has_lost_the_place(story):
    story.visit("early", 0, "queued")
    story.visit("early", 3, "not_in_queue")
    story.visit("early", 9, "queued")
    story.visit("late", 1, "active")
    assert story.found("order") == []


def test_a_loss_of_redis_ends_the_order(story):
    story.fault(4, 5, "redis")
    waited(story)
    story.visit("late", 1, "queued")
    story.visit("late", 8, "active")
    assert story.found("order") == []


def test_the_order_holds_on_either_side_of_a_loss_of_redis(story):
    story.fault(4, 5, "redis")
    waited(story)
    story.visit("late", 7, "active")
    assert len(story.found("order")) == 1


def test_another_fault_does_not_end_the_order(story):
    story.fault(4, 5)
    waited(story)
    story.visit("late", 1, "queued")
    story.visit("late", 8, "active")
    assert len(story.found("order")) == 1


def test_a_right_picture_is_fine(story):
    story.tables.seats[0].update(status="reserved")
    story.picture(2.1, A1="reserved")
    assert story.found("picture") == []


@pytest.mark.parametrize("seats", [{}, {"A1": "locked"}, {"A1": "reserved", "A2": "locked"}])
def test_a_wrong_picture_is_found(story, seats):
    story.tables.seats[0].update(status="reserved")
    story.picture(2.1, **seats)
    assert len(story.found("picture")) == 1


def test_only_the_last_picture_counts(story):
    story.picture(1, A1="locked")
    story.picture(2.1)
    assert story.found("picture") == []


def test_a_watcher_who_is_not_connected_is_found(story):
    story.picture(2.1, joined=False)
    assert len(story.found("picture")) == 1


def test_a_run_without_quiet_is_found(story):
    story.picture(1.9)
    [what] = story.found("picture")
    assert "no quiet" in what


def test_quiet_begins_after_the_last_fault(story):
    story.fault(1, 1.5)
    story.picture(2.1)
    [what] = story.found("picture")
    assert "no quiet" in what


def test_a_seat_that_is_shown_as_free_after_its_end_is_fine(story):
    held = story.hold("a", 0, "A1")
    story.hear(0.05, "A1")
    story.cancel("a", 1, held)
    story.hear(1.05, "A1", "available")
    assert story.found("shown") == []


def test_a_seat_that_is_shown_as_free_too_early_is_found(story):
    story.hold("a", 0, "A1")
    story.hear(0.05, "A1")
    story.hear(1, "A1", "available")
    [what] = story.found("shown")
    assert "A1" in what


def test_a_watcher_who_was_shown_nothing_yet_may_be_late(story):
    story.hold("a", 0, "A1")
    story.hear(1, "A1", "available")
    assert story.found("shown") == []


def test_news_of_an_earlier_taker_may_be_late(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held)
    story.hold("b", 1.2, "A1")
    story.hear(1.4, "A1")
    story.hear(1.5, "A1", "available")
    assert story.found("shown") == []


def test_news_of_an_earlier_taker_may_be_later_during_a_fault(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held)
    story.hold("b", 1.2, "A1")
    story.hear(4, "A1")
    story.hear(4.1, "A1", "available")
    assert len(story.found("shown")) == 1
    story.fault(1, 3)
    assert story.found("shown") == []


def test_a_seat_that_is_shown_as_free_before_its_taker_was_told_is_found(story):
    story.hold("a", 0, "A1", took=2)
    story.hear(0.05, "A1")
    story.hear(1, "A1", "available")
    assert len(story.found("shown")) == 1


def paid_late(story):
    """The hold ends at 5, and is paid from 5.3 to 5.6, which takes the seat again."""
    held = story.hold("a", 0, "A1")
    story.hear(0.05, "A1")
    story.pay(5.3, held, took=0.3)


def test_the_end_of_a_hold_may_be_heard_late(story):
    paid_late(story)
    story.hear(5.7, "A1", "available")
    story.hear(5.8, "A1", "reserved")
    assert story.found("shown") == []


def test_the_end_of_a_hold_is_not_heard_after_its_late_payment(story):
    paid_late(story)
    story.hear(5.5, "A1", "reserved")
    story.hear(5.7, "A1", "available")
    assert len(story.found("shown")) == 1


def test_a_paid_seat_is_free_after_its_cancellation(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held)
    story.hear(1.05, "A1", "reserved")
    story.cancel("a", 2, held)
    story.hear(2.05, "A1", "available")
    assert story.found("shown") == []


def test_a_payment_and_its_cancellation_may_both_be_heard_late(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held, took=0.5)
    story.cancel("a", 1, held, took=0.6)
    story.hear(1.7, "A1", "reserved")
    story.hear(1.8, "A1", "available")
    assert story.found("shown") == []


def test_what_is_shown_as_free_twice_is_found_once(story):
    story.hold("a", 0, "A1")
    story.hear(0.05, "A1")
    story.hear(1, "A1", "available")
    story.hear(2, "A1", "available")
    assert len(story.found("shown")) == 1


def test_a_state_that_was_asked_for_shows_the_taker(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held)
    story.hold("b", 1.2, "A1")
    story.join(1.4, "A1")
    story.hear(1.6, "A1", "available")
    assert len(story.found("shown")) == 1


def test_a_state_without_a_seat_shows_it_as_free(story):
    story.hold("a", 0, "A1")
    story.hear(0.05, "A1")
    story.join(1)
    assert len(story.found("shown")) == 1


def test_each_watcher_has_a_picture_of_their_own(story):
    story.hold("a", 0, "A1")
    story.hear(0.05, "A1", watcher="one")
    story.hear(1, "A1", "available", watcher="other")
    assert story.found("shown") == []
