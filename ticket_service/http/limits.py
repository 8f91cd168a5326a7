"""The limits of what a person, or an address, may do how often (docs/contract.md, "Limits")."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import current_app
from limits import RateLimitItem

from ticket_service.config import Settings
from ticket_service.errors import TooManyFromAddress, TooManyRequests
from ticket_service.http.client_address import ClientAddresses
from ticket_service.http.responses import Environ
from ticket_service.stores.rate_limits import HitCounters, RateLimit
from ticket_service.stores.redis import Redis

EXTENSION = "ticket_service.limits"
"""Where the application has its Limits."""


class AddressLimit:
    """How often each address may do one thing."""

    def __init__(self, limit: RateLimit, addresses: ClientAddresses) -> None:
        self._limit = limit
        self._addresses = addresses

    def hit(self, environ: Environ) -> None:
        """Count one hit of the address of a request. Never waits. Raises TooManyFromAddress."""
        self._limit.hit(self._addresses.of(environ))

    def take_back(self, environ: Environ) -> None:
        """Count one hit less."""
        self._limit.take_back(self._addresses.of(environ))


class Limits:
    """All limits of this instance."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        given = settings.limits
        self.counters = counters = HitCounters(redis)
        addresses = ClientAddresses(settings.trusted_proxies)

        def of_person(name: str, item: RateLimitItem | None) -> RateLimit:
            return RateLimit(counters, name, item, TooManyRequests)

        def of_address(name: str, item: RateLimitItem | None) -> AddressLimit:
            return AddressLimit(RateLimit(counters, name, item, TooManyFromAddress), addresses)

        self.holds = of_person("holds_per_person", given.holds_per_person)
        """Attempts to hold seats or tickets."""
        self.sign_ins = of_person("sockets_per_person", given.sockets_per_person)
        """Sockets that sign in."""
        self.strangers = of_address("sockets_per_address", given.sockets_per_address)
        """Connections of Socket.IO that do not sign in."""
        self.bad_tokens = of_address("bad_tokens_per_address", given.bad_tokens_per_address)
        """Tokens that are malformed or forged."""
        self.searches = of_address("searches_per_address", given.searches_per_address)
        """Searches that are not answered from the cache."""


def current_limits() -> Limits:
    """Return the limits of this application."""
    limits: Limits = current_app.extensions[EXTENSION]
    return limits


def counts_as_hold(view: Callable[..., Any]) -> Callable[..., Any]:
    """Count each call of a view as an attempt to hold something, also if its body is not valid.

    This must be next to `signed_in`, whose user id it reads. Raises TooManyRequests.
    """

    @wraps(view)
    def counted(user_id: str, *args: Any, **kwargs: Any) -> Any:
        current_limits().holds.hit(user_id)
        return view(user_id, *args, **kwargs)

    return counted
