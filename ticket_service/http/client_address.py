"""From which address a request comes: what limits for each address go by.

The peer of a connection may be a proxy, which appends to X-Forwarded-For from whom it got the
request. Anybody can send that header. So only what trusted proxies (TRUSTED_PROXIES) appended is
believed: the address is the last one in the chain that is not a trusted proxy's.

A private address is not known to be one client's: it may be a proxy that nobody named, or a node
of Kubernetes, behind which is everybody. Of an IPv6 address the first 64 bits count, since one
customer has all addresses that begin with them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ticket_service.config import Networks
from ticket_service.http.responses import Environ

MAX_HOPS = 10
"""Proxies in a chain that are looked at."""

MAX_CACHED = 10_000
"""Addresses that are remembered, since to parse one takes longer; about 600 bytes each."""

_WRITTEN = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+|(.+)")
"""An address in brackets or with a port, or one alone."""

_MAX_TEXT = 60
"""Characters of an address with brackets, zone and port."""

_CUSTOMER_BITS = 64

Address = IPv4Address | IPv6Address


class ClientAddresses:
    """Finds the addresses of clients."""

    def __init__(self, trusted_proxies: Networks) -> None:
        self._trusted_proxies = trusted_proxies

    def of(self, environ: Environ) -> str | None:
        """Return the client's public address, or its network for IPv6. None if it has none."""
        client = parse_address(environ.get("REMOTE_ADDR", ""))
        chain: str = environ.get("HTTP_X_FORWARDED_FOR", "")
        for hop in reversed(chain.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            if client is None or not self._is_trusted(client):
                break
            sender = parse_address(hop.strip())
            if sender is None:  # no address: the proxy is all that is known
                break
            client = sender
        return _name(client) if client is not None and client.is_global else None

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted_proxies)


def parse_address(text: str) -> Address | None:
    """Return an address, which may have brackets and a port. None if it is none."""
    return _parse(text) if len(text) <= _MAX_TEXT else None


@lru_cache(MAX_CACHED)
def _parse(text: str) -> Address | None:
    written = _WRITTEN.fullmatch(text)
    try:
        address = ip_address(written[written.lastindex or 0] if written else "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # as a socket for both kinds shows it
    return address


@lru_cache(MAX_CACHED)
def _name(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), _CUSTOMER_BITS), strict=False))
