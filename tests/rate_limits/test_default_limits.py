"""Today's front end does not meet the default limits, in the worst minute that it can have.

That minute is played as fast as the instance answers, so all of it is in one window.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from dev.servers import Servers
from dev.workspace import ROOT
from tests.support.buyers import token_for
from tests.support.factories import Event, MakeEvent, section
from tests.support.rate_limits import PAUSE, PROXY, new_address, search, sign_in, via
from tests.support.service import Service, run_service
from tests.support.websocket import handshake, raw
from ticket_service.config import LimitSettings
from ticket_service.stores import keys

EXAMPLE = (ROOT / ".env.example").read_text()

SECONDS = 60

WINDOWS = 2
"""Windows of a person that wait (tests/js/dialog.js)."""

SOCKETS_A_SECOND = 2
"""Of each window: one with its count-down, one with each room-info."""

ABORTED = 10
"""One in so many of these closes before it has signed in, with a round trip of 100 ms."""

CLICKS = 30
"""Attempts to hold: one every two seconds, with a look at the alert."""

SEARCHES = 2
"""That nobody else makes at the same time."""

PAGES_BEHIND_ONE_ADDRESS = 2_500


@pytest.fixture(scope="module")
def service(servers: Servers, folder: Path) -> Iterator[Service]:
    with run_service(folder, TRUSTED_PROXIES=PROXY) as started:
        yield started
        started.kill()


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=1)])


def play_a_minute(service: Service, event: Event, user_id: str, address: str) -> set[int]:
    """The statuses that one person's pages get."""
    token, headers = token_for(user_id), via(address)
    order = {"eventId": event.id, "seatIds": event.seat_ids}
    statuses = set()

    def get(path: str, token: str | None = None) -> None:
        statuses.add(service.get(path, token=token, headers=headers).status)

    for number in range(SECONDS * WINDOWS * SOCKETS_A_SECOND):
        assert sign_in(service, token, address) is None
        get(f"/queue/status/{event.id}", token)
        if number % ABORTED == 0:
            with raw(service.port) as connection:
                connection.send(handshake(X_Forwarded_For=address))
                connection.read_until(rb" 101 ")
    for _ in range(CLICKS):
        statuses.add(service.post("/seats/reserve", token=token, json=order).status)
        get(f"/seats/events/{event.id}")
    for _ in range(SEARCHES):
        statuses.add(search(service, address).status)
    get("/reservations/my", token_for(user_id, iat=1, exp=2))
    return statuses


def test_nobody_meets_them(service: Service, event: Event, redis: Redis):
    user_id, address = str(uuid4()), new_address()
    order = {"eventId": event.id, "seatIds": event.seat_ids}
    assert service.post("/seats/reserve", token=token_for(), json=order).status == 201
    assert play_a_minute(service, event, user_id, address) == {200, 401, 409}
    time.sleep(PAUSE)
    counted = {}
    for limit in fields(LimitSettings):
        [allowed] = re.findall(rf"^{limit.name.upper()}=(\d+)/minute$", EXAMPLE, re.MULTILINE)
        who = address if limit.name.endswith("address") else user_id
        found = redis.get(f"{keys.RATE_LIMITS}/{limit.name}/{who}/{allowed}/1/minute")
        counted[limit.name] = int(str(found or 0))
        pages = PAGES_BEHIND_ONE_ADDRESS // WINDOWS if who is address else 1
        assert counted[limit.name] * pages <= int(allowed), limit.name
    assert counted == {
        "holds_per_person": CLICKS,
        "sockets_per_person": SECONDS * WINDOWS * SOCKETS_A_SECOND,
        "sockets_per_address": SECONDS * WINDOWS * SOCKETS_A_SECOND // ABORTED,
        "bad_tokens_per_address": 0,
        "searches_per_address": SEARCHES,
    }
