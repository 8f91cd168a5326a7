"""A cache that is bounded by bytes."""

import random
from collections import OrderedDict

from ticket_service.stores.sized_cache import SizedCache


def test_what_was_used_last_stays():
    cache: SizedCache[str, int] = SizedCache(30)
    for number, key in enumerate("abc"):
        cache.put(key, number, 10)
    assert cache.get("a") == 0
    cache.put("d", 3, 10)
    assert [cache.get(key) for key in "abcd"] == [0, None, 2, 3]
    assert cache.size == 30


def test_a_value_takes_the_place_of_the_one_before():
    cache: SizedCache[str, str] = SizedCache(30)
    cache.put("a", "small", 1)
    cache.put("a", "large", 25)
    assert (cache.get("a"), cache.size) == ("large", 25)
    cache.remove("a")
    cache.remove("a")
    assert (cache.get("a"), cache.size) == (None, 0)


def test_what_is_larger_than_the_cache_pushes_nothing_out():
    cache: SizedCache[str, str] = SizedCache(30)
    cache.put("a", "good", 10)
    cache.put("b", "too large", 31)
    assert (cache.get("a"), cache.get("b"), cache.size) == ("good", None, 10)
    cache.put("a", "too large", 31)  # and what was there before is out of date
    assert (cache.get("a"), cache.size) == (None, 0)


def test_the_size_is_that_of_what_is_kept():
    chance, cache = random.Random(1), SizedCache[int, int](100)
    model: OrderedDict[int, int] = OrderedDict()
    for _ in range(2_000):
        key, size = chance.randrange(20), chance.randrange(1, 60)
        cache.put(key, size, size)
        model.pop(key, None)
        model[key] = size
        while sum(model.values()) > 100:
            model.popitem(last=False)
        assert cache.size == sum(model.values())
    assert {key: cache.get(key) for key in range(20)} == {key: model.get(key) for key in range(20)}
