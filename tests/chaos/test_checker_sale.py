"""The history checker on histories written by hand: seats, what is kept, repeats, and stock."""

import pytest

from tests.support.histories import Story


@pytest.fixture
def story():
    return Story()


def test_seats_one_after_the_other_are_fine(story):
    story.hold("a", 0, "A1")
    story.hold("b", 5.0, "A1", took=0.2)
    assert story.found("seats") == []


def test_a_seat_told_to_two_at_the_same_time_is_found(story):
    story.hold("a", 0, "A1", "A2")
    story.hold("b", 4.5, "A2")
    [what] = story.found("seats")
    assert "A2" in what


def test_a_seat_told_to_one_person_in_two_reservations_is_found(story):
    story.hold("a", 0, "A1")
    story.hold("a", 1, "A1")
    assert len(story.found("seats")) == 1


def test_one_reservation_told_to_two_is_found(story):
    held = story.hold("a", 0, "A1")
    story.hold("b", 9, "A1", id=held)
    assert len(story.found("seats")) == 1


@pytest.mark.parametrize("status", [200, None, 503])
def test_a_seat_is_free_from_the_moment_its_cancellation_is_sent(story, status):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held, status=status, took=2)
    story.hold("b", 1.1, "A1")
    assert story.found("seats") == []


def test_a_cancellation_that_was_refused_frees_nothing(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held, status=409, answer={"code": "CANCELLATION_CLOSED"})
    story.hold("b", 1.1, "A1")
    assert len(story.found("seats")) == 1


def test_a_cancellation_sent_before_the_answer_may_have_come_first(story):
    held = story.hold("a", 0, "A1", took=2)
    story.cancel("a", 1, held)
    story.hold("b", 3, "A1")
    assert story.found("seats") == []


def test_a_paid_seat_is_theirs_beyond_the_hold(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held)
    story.hold("b", 50, "A1")
    assert len(story.found("seats")) == 1


def test_a_late_payment_takes_the_seat_again(story):
    held = story.hold("a", 0, "A1")
    story.hold("b", 6, "A1")
    story.pay(10.9, held, took=0.3)
    assert story.found("seats") == []
    story.hold("c", 12, "A1")
    assert len(story.found("seats")) == 1


def test_a_failed_payment_frees_the_seat(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held, "failed")
    story.hold("b", 1.1, "A1")
    assert story.found("seats") == []


def test_a_hold_that_was_told_after_its_end_is_nobodys(story):
    story.hold("a", 0, "A1", took=6)
    story.hold("b", 5.5, "A1")
    assert story.found("seats") == []


def test_what_was_told_is_kept(story):
    held = story.hold("a", 0, "A1", "A2")
    story.pay(1, held)
    story.read("a", 2, held, "confirmed")
    other = story.hold("b", 0, tickets=2)
    story.cancel("b", 1, other)
    third = story.hold("c", 0, tickets=1)
    story.end(third, "expired", 5)
    story.read("c", 6, third, "cancelled")
    assert story.found("kept") == []


def test_a_reservation_that_is_not_in_the_tables_is_found(story):
    del story.rows[story.hold("a", 0, "A1")]
    [what] = story.found("kept")
    assert "not in the tables" in what


def test_a_reservation_without_all_of_its_seats_is_found(story):
    story.hold("a", 0, "A1", "A2")
    story.tables.items.pop()
    assert len(story.found("kept")) == 1


def test_a_reservation_with_fewer_tickets_is_found(story):
    story.hold("a", 0, tickets=3)
    story.tables.items[0]["quantity"] = 2
    assert len(story.found("kept")) == 1


def test_a_reservation_of_another_person_is_found(story):
    story.rows[story.hold("a", 0, "A1")]["person"] = "b"
    assert len(story.found("kept")) == 1


@pytest.mark.parametrize("status", ["cancelled", "confirmed"])
def test_a_status_without_a_reason_is_found(story, status):
    story.end(story.hold("a", 0, "A1"), status, 1)
    assert len(story.found("kept")) == 1


def test_a_hold_that_expired_too_early_is_found(story):
    story.end(story.hold("a", 0, "A1"), "expired", 4.9)
    [what] = story.found("kept")
    assert "too early" in what


@pytest.mark.parametrize("status", ["expired", "pending"])
def test_a_paid_reservation_that_is_not_confirmed_is_found(story, status):
    held = story.hold("a", 0, "A1")
    story.pay(1, held)
    story.end(held, status, 6)
    assert len(story.found("kept")) == 1


def test_a_cancellation_that_did_not_happen_is_found(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held)
    story.end(held, "pending", 1)
    assert len(story.found("kept")) == 1


def test_a_payment_after_a_cancellation_may_take_the_seat_again(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 1, held)
    story.pay(2, held)
    assert story.found("kept") == []


def test_a_payment_that_is_not_recorded_is_found(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held)
    story.tables.payments.clear()
    assert len(story.found("kept")) == 1


def test_a_refund_that_nobody_will_know_of_is_found(story):
    held = story.hold("a", 0, "A1")
    story.end(held, "expired", 5)
    answer = {"code": "RESERVATION_EXPIRED", "details": {"refund": {}}}
    payment = story.pay(6, held, status=409, answer=answer)
    assert len(story.found("kept")) == 1
    story.note(payment, "completed", "REFUND_DUE")
    assert story.found("kept") == []


@pytest.mark.parametrize("action", ["cancel", "pay"])
def test_being_told_that_it_is_over_while_it_is_theirs_is_found(story, action):
    held = story.hold("a", 0, "A1")
    answer = {"code": "RESERVATION_EXPIRED"}
    if action == "cancel":
        story.cancel("a", 1, held, status=409, answer=answer)
    else:
        story.pay(1, held, status=409, answer=answer)
    assert len(story.found("kept")) == 1


def test_a_second_payment_must_be_refunded(story):
    held = story.hold("a", 0, "A1")
    story.pay(1, held)
    story.pay(2, held, status=409, answer={"code": "RESERVATION_EXPIRED"})
    assert story.found("kept") == []


def test_being_told_that_it_is_over_at_its_end_is_fine(story):
    held = story.hold("a", 0, "A1")
    story.cancel("a", 4.95, held, status=409, answer={"code": "RESERVATION_EXPIRED"})
    story.read("a", 4.95, held, "cancelled")
    assert story.found("kept") == []


def test_a_reservation_shown_as_cancelled_while_it_is_theirs_is_found(story):
    story.read("a", 1, story.hold("a", 0, "A1"), "cancelled")
    assert len(story.found("kept")) == 1


def test_a_lost_answer_that_is_found_by_its_key_is_fine(story):
    held = story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 1, "A1", key="one", id=held)
    assert story.found("repeats") == []


def test_a_key_with_two_reservations_is_found(story):
    story.hold("a", 0, "A1", key="one")
    story.hold("a", 1, "A1", key="one")
    assert len(story.found("repeats")) == 1


def test_a_second_reservation_that_nobody_was_told_of_is_found(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 1, "A1", key="one")
    assert len(story.found("repeats")) == 1


def test_a_lost_answer_that_nobody_asked_for_again_may_have_a_reservation(story):
    story.hold("a", 0, "A1", key="one", status=None)
    assert story.found("repeats") == []


def test_two_reservations_for_one_lost_answer_are_found(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.write("other", "a", 0, ("A1",))
    assert len(story.found("repeats")) == 1


def test_a_lost_answer_that_was_lost_again_may_have_a_reservation(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 20, "A1", key="one", status=503)
    assert story.found("repeats") == []


def test_two_reservations_for_one_key_that_was_refused_are_found(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.write("other", "a", 0, ("A1",))
    story.hold("a", 2, "A1", key="one", status=409)
    assert len(story.found("repeats")) == 1


def test_a_refusal_of_what_was_there_is_found(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 20, "A1", key="one", status=409)
    [what] = story.found("repeats")
    assert "refused" in what


def test_a_refusal_while_the_first_request_is_under_way_is_fine(story):
    story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 2, "A1", key="one", status=409)
    assert story.found("repeats") == []


def test_a_fault_keeps_the_first_request_under_way(story):
    story.fault(1, 18)
    story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 20, "A1", key="one", status=409)
    assert story.found("repeats") == []


def test_stock_that_adds_up_is_fine(story):
    story.hold("a", 0, tickets=6)
    story.stock(1, 4)
    story.hold("b", 2, tickets=4)
    story.stock(3, 0)
    assert story.found("stock") == []


def test_more_tickets_held_at_one_moment_than_there_are_is_found(story):
    held = story.hold("a", 0, tickets=6)
    story.hold("b", 1, tickets=5)
    story.cancel("a", 2, held)
    [what] = story.found("stock")
    assert "11 of 10" in what


def test_tickets_that_were_given_back_in_time_are_fine(story):
    held = story.hold("a", 0, tickets=6)
    story.cancel("a", 1, held)
    story.hold("b", 1.05, tickets=5)
    assert story.found("stock") == []


def test_a_hold_and_its_payment_count_once(story):
    held = story.hold("a", 0, tickets=6)
    story.pay(1, held)
    assert story.found("stock") == []


def test_an_answer_may_be_old_for_a_second_during_a_fault(story):
    story.fault(0.5, 1.5)
    story.hold("a", 0, tickets=6)
    story.stock(0.8, 10)
    assert story.found("stock") == []
    story.stock(1.2, 10)
    assert len(story.found("stock")) == 1


def test_an_answer_that_does_not_count_a_hold_is_found(story):
    story.hold("a", 0, tickets=6)
    story.stock(1, 5)
    assert len(story.found("stock")) == 1


def test_an_answer_during_a_hold_may_count_it_or_not(story):
    story.hold("a", 0, tickets=6, took=1)
    story.stock(0.5, 10)
    story.stock(0.5, 4)
    assert story.found("stock") == []


def test_an_answer_that_still_counts_what_ended_long_ago_is_found(story):
    held = story.hold("a", 0, tickets=6)
    story.cancel("a", 1, held)
    story.stock(3.9, 4)
    assert story.found("stock") == []
    story.stock(4.2, 4)
    assert len(story.found("stock")) == 1


def test_faults_of_the_books_are_found(story):
    story.tables.faults.append("a seat has two live reservations: A1")
    assert len(story.found("stock")) == 1


def test_a_run_in_which_nothing_happened_is_found(story):
    assert len(story.found("evidence")) == 11


def test_a_run_with_something_of_everything_is_fine(story):
    held = story.hold("a", 0, "A1", key="one", status=None)
    story.hold("a", 1, "A1", key="one", id=held)
    story.pay(2, held)
    story.cancel("a", 3, held)
    story.hold("b", 0, tickets=1)
    story.stock(1, 9)
    story.sample(1, "a")
    story.hear(1, "A1")
    story.picture(9)
    for person, status in (("inside", "active"), ("outside", "queued")):
        story.visit(person, 0, status)
        story.visit(person, 2, status)
    assert story.found("evidence") == []
    story.records.remove(next(one for one in story.records if one.action == "picture"))
    assert story.found("evidence") == ["there were no pictures"]
