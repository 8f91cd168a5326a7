"""Anything at all: refused in the one shape, and never a 500."""

import json
import random
from typing import Any
from urllib.parse import quote

from tests.support.bad_input import ORDERS, OWN_READS, PUBLIC_READS, UUID
from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.service import Service
from tests.support.wire import check_error


def test_random_requests_never_break_the_service(service: Service, event: Event):
    chance = random.Random(20261122)
    token = token_for()

    def noise(longest: int) -> bytes:
        return chance.randbytes(chance.randint(0, longest))

    def damaged(text: str) -> bytes:
        """The text with a few bytes replaced, and often cut off."""
        raw = bytearray(text.encode())
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        return bytes(raw[: chance.randint(1, 2 * len(raw))])

    def check(method: str, path: str, **options: Any) -> None:
        answer = service.request(method, f"/api/v1{path}", token=token, **options)
        assert answer.status < 500, (method, path, options, answer.body)
        if answer.status >= 400:
            check_error(answer, answer.status, answer.json()["code"])

    for _ in range(100):
        path, order = chance.choice(ORDERS)
        unknown = {**order(event), "eventId": UUID}  # so that none of them books anything
        body = chance.choice([noise(200), damaged(json.dumps(unknown))])
        check("POST", path, body=body, headers={"Content-Type": "application/json"})
        name = chance.choice(["page", "limit", "q", "status", quote(noise(5))])
        check("GET", f"/events?{name}={quote(noise(40))}")
        check("GET", f"/reservations/my?{name}={quote(noise(10))}")
        check("GET", chance.choice(PUBLIC_READS + OWN_READS).format(quote(noise(40), safe="")))
        header = chance.choice(["Accept-Language", "Accept-Encoding", "If-None-Match", "Origin"])
        text = "".join(chance.choices('enkogzip*;,=.019-W/"\\ \t\xe9\xff', k=30))
        check("GET", f"/seats/events/{event.id}", headers={header: text})
