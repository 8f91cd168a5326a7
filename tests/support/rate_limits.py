"""Requests of people and addresses, until they are refused for being too many."""

import http.client
import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from tests.support.buyers import token_for
from tests.support.service import Response, Service
from tests.support.websocket import handshake, raw
from tests.support.wire import check_error

Call = Callable[[Service], Response]

PROXY = "127.0.0.1"
"""The peer of all requests of tests."""

LIMIT = 10
"""What instances of these tests allow in LONG."""

SEARCHES, SEARCH_SECONDS = 4, 3
"""The same for searches, whose window ends soon, and its length."""

LONG = "5 minutes"
"""A window that outlasts the tests."""

STRANGER = "127.0.0.2"
"""Another peer on the same machine."""

BAD_TOKEN = "x.y.z"

PAUSE = 0.3
"""Seconds after which an instance has heard of what was counted before."""


def new_address() -> str:
    """Return a public address that no test has used."""
    return ".".join(map(str, (11, *secrets.token_bytes(3))))


def via(*chain: str) -> dict[str, str]:
    """Return the header of proxies that passed a request on, the client's own words first."""
    return {"X-Forwarded-For": ", ".join(chain)}


def hold(service: Service, token: str) -> Response:
    """Try to hold nothing, which is an attempt too."""
    return service.post("/seats/reserve", token=token, json={})


def send_bad_token(service: Service, address: str, *before: str) -> Response:
    return service.get("/reservations/my", token=BAD_TOKEN, headers=via(*before, address))


def search(service: Service, address: str) -> Response:
    """Search for what nobody has searched for."""
    return service.get(f"/events?q={secrets.token_hex(8)}", headers=via(address))


def open_polling(service: Service, address: str) -> Response:
    """Open a connection of Socket.IO, which does not sign in."""
    return service.request("GET", "/socket.io/?EIO=4&transport=polling", headers=via(address))


def sign_in(service: Service, token: str, address: str) -> dict[str, Any] | None:
    """Open a WebSocket from an address, sign in, and close it. Return what the connect error says,
    or None if there is none."""
    with raw(service.port) as connection:
        connection.send(handshake(X_Forwarded_For=address))
        connection.read_until(rb"101 [\s\S]*\r\n\r\n[\s\S]*\{.*\}")
        connection.say("40" + json.dumps({"token": token}))
        kind, text = re.findall(rb"(40|44)(\{.*\})", connection.read_until(rb"4[04]\{.*\}"))[0]
        return json.loads(text) if kind == b"44" else None


def from_stranger(service: Service, path: str, headers: dict[str, str]) -> int:
    """Return the status of a GET that comes from STRANGER."""
    with closing(
        http.client.HTTPConnection(PROXY, service.port, 10, source_address=(STRANGER, 0))
    ) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def flood(call: Callable[[], Response], times: int) -> list[int]:
    """Return the statuses of so many calls, one after the other."""
    return [call().status for _ in range(times)]


def slowly(call: Callable[[], Response], times: int) -> list[int]:
    """Return the statuses of so many calls, each made when the ones before have been counted."""
    statuses = []
    for _ in range(times):
        time.sleep(PAUSE)
        statuses.append(call().status)
    return statuses


def exhaust(call: Callable[[], Response], limit: int = 1) -> Response:
    """Call until it is refused, and return that. Fail if it is before the limit, or never."""
    deadline = time.monotonic() + 10
    calls = 0
    while (answer := call()).status != 429:
        calls += 1
        assert time.monotonic() < deadline, f"{calls} calls were not refused"
    assert calls >= limit
    check_error(answer, 429, "RATE_LIMITED")
    return answer


def holds_of(person: str) -> Call:
    return lambda service: hold(service, person)


def of_address(call: Callable[[Service, str], Response], address: str) -> Call:
    return lambda service: call(service, address)


KINDS: dict[str, Callable[[], Call]] = {
    "holds": lambda: holds_of(token_for()),
    "bad tokens": lambda: of_address(send_bad_token, new_address()),
    "connections": lambda: of_address(open_polling, new_address()),
}
"""By what is limited: a call of a new person, or from a new address."""


def spread(instances: list[Service], call: Callable[[Service], Response]) -> list[int]:
    """The statuses of the last calls, to the second and to the first instance, when each of them
    had fewer than it would allow by itself."""
    first, second = (partial(call, instance) for instance in instances)
    assert 429 not in flood(first, LIMIT - 2)
    assert 429 not in slowly(second, 2)
    return [slowly(second, 1)[-1], slowly(first, 2)[-1]]
