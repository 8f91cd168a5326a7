"""Negative controls: what the tests of rate limits find when there are none."""

from collections.abc import Callable
from functools import partial

from tests.support.buyers import token_for
from tests.support.rate_limits import (
    KINDS,
    LIMIT,
    LONG,
    PROXY,
    exhaust,
    flood,
    hold,
    holds_of,
    spread,
)
from tests.support.service import Service


def test_without_the_shared_counters_each_instance_has_its_own_limit(
    start_service: Callable[..., Service],
):
    services = [
        start_service(
            app="tests.support.unguarded:app",
            UNGUARDED="rate limits of all instances",
            HOLDS_PER_PERSON=f"{LIMIT}/{LONG}",
        )
        for _ in range(2)
    ]
    assert spread(services, holds_of(token_for())) == [400, 400]
    exhaust(partial(hold, services[0], token_for()), LIMIT)


def test_without_a_limit_a_flood_goes_through(start_service: Callable[..., Service]):
    service = start_service(
        HOLDS_PER_PERSON="",
        BAD_TOKENS_PER_ADDRESS="",
        SOCKETS_PER_ADDRESS="",
        TRUSTED_PROXIES=PROXY,
    )
    for kind in KINDS.values():
        call = kind()
        assert 429 not in flood(partial(call, service), 10 * LIMIT)
