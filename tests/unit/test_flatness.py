"""Whether what a soak measures counts as flat."""

import pytest

from soak.flatness import Quantity, judge, table

MEMORY = Quantity("memory", "MiB", share=0.05, number=2)
POOL = Quantity("connections", "", limit=22)


def good(quantity: Quantity, *numbers: float) -> bool:
    """How numbers that were measured one after the other are judged."""
    [judgement] = judge([quantity], [{quantity.name: number} for number in numbers])
    return judgement.good


def test_a_slow_leak_grows():
    assert not good(MEMORY, *(100 + number / 2 for number in range(40)))


def test_what_only_moves_up_and_down_is_flat():
    assert good(MEMORY, *(100 + number % 4 for number in range(40)))


def test_what_shrinks_is_flat():
    assert good(MEMORY, *(100 - number for number in range(40)))


def test_one_peak_is_no_growth():
    assert good(MEMORY, *[100] * 37, 300, 100, 100)


@pytest.mark.parametrize(("growth", "flat"), [(4.9, True), (5.1, False)])
def test_a_part_of_the_beginning_is_allowed(growth: float, flat: bool):
    assert good(MEMORY, *[100] * 4, *[100 + growth] * 4) is flat


@pytest.mark.parametrize(("growth", "flat"), [(1.9, True), (2.1, False)])
def test_a_number_is_allowed_where_the_part_is_less(growth: float, flat: bool):
    assert good(MEMORY, *[10] * 4, *[10 + growth] * 4) is flat


def test_a_pool_may_grow_up_to_its_limit():
    assert good(POOL, *range(15, 23))
    assert not good(POOL, *range(15, 22), 23)


def test_the_table_names_what_grows():
    samples = [{"memory": 100.0 + 10 * number, "connections": 20.0} for number in range(8)]
    header, memory, connections = table(judge([MEMORY, POOL], samples))
    assert "growth" in header
    assert memory.startswith("memory, MiB")
    assert memory.endswith("GROWS")
    assert connections.endswith("below")
