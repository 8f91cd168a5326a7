"""Who may use a connection of a pool, and who waits."""

import random

import gevent
import pytest

from ticket_service.stores.slots import Slots


def takes(slots: Slots, group: str | None) -> int:
    """How many this group can have now; it keeps them."""
    count = 0
    while slots.take(group, 0):
        count += 1
    return count


@pytest.mark.parametrize(("size", "first", "second"), [(8, 4, 2), (2, 1, 1), (1, 1, 0)])
def test_a_group_has_at_most_what_it_leaves_free(size: int, first: int, second: int):
    slots = Slots(size, 10)
    assert (takes(slots, "first"), takes(slots, "second")) == (first, second)


def test_what_belongs_to_no_group_may_have_any_slot():
    slots = Slots(8, 10)
    assert takes(slots, None) == 8


def test_groups_take_turns():
    slots, served = Slots(1, 100), list[str]()
    assert slots.take(None, 0)

    def use(group: str) -> None:
        assert slots.take(group, 5)
        served.append(group)
        slots.give_back(group)

    users = [gevent.spawn(use, group) for group in "aaab"]
    gevent.sleep(0)
    slots.give_back(None)
    gevent.joinall(users, timeout=5, raise_error=True)
    assert served == ["a", "b", "a", "a"]


def test_who_waits_too_long_leaves_the_line():
    slots = Slots(1, 10)
    assert slots.take("a", 0)
    assert not slots.take("b", 0.01)
    slots.give_back("a")
    assert slots.take("b", 0)


def test_one_group_does_not_fill_the_line():
    slots = Slots(1, 10)
    assert slots.take(None, 0)
    waiting = [gevent.spawn(slots.take, "a", 5) for _ in range(10)]
    gevent.sleep(0)
    assert sum(one.ready() for one in waiting) == 5  # refused at once
    assert slots._places == 5
    gevent.killall(waiting)


def test_slots_are_given_back_whatever_happens_to_who_waits():
    """Not through HTTP: nobody there can be killed while they wait."""
    slots = Slots(4, 40)
    chance = random.Random(1)

    def use(group: str | None) -> None:
        if slots.take(group, chance.random() / 100):
            try:
                gevent.sleep(chance.random() / 200)
            finally:
                slots.give_back(group)

    for _ in range(30):
        users = [gevent.spawn(use, chance.choice([None, "a", "b", "c"])) for _ in range(60)]
        gevent.sleep(chance.random() / 100)
        gevent.killall(chance.sample(users, 20))
        gevent.joinall(users, raise_error=False)
    assert (slots._free, slots._places) == (4, 40)
    assert not slots._lines
    assert not slots._held
