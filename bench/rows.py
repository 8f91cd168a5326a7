"""The rows of the benchmark's table: the kinds of requests and their limits."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, repeat

from bench.data import Data, Item
from bench.lines import Lines
from bench.load import WARM_UP
from bench.rig import Server
from bench.seller import SALES_PER_SECOND, Sale
from dev.make_token import make_token

FASTEST = 6_000
"""Requests a second for which each POST row has a supply. A faster service ends the row early."""


@dataclass(frozen=True)
class Row:
    """One kind of request."""

    name: str
    must: float | None
    """The rate, divided by the yardstick's, that must be reached."""
    aim: float | None
    """The rate, divided by the yardstick's, that is aimed at."""
    requests: Callable[[], Iterable[bytes]]
    """Makes the requests of one round."""
    status: int = 200
    """The expected status; any other is an error."""
    sales: Iterator[Sale] | None = None
    """What is sold meanwhile."""
    against: str | None = None
    """The name of the row to compare the time with."""


YARDSTICK = Row("Y: Flask returns a constant", None, None, lambda: repeat(_get("/")))


def supply(seconds: float) -> int:
    """How many POST requests a measurement of so many seconds may use up."""
    return math.ceil(FASTEST * seconds * (1 + WARM_UP))


def rows(data: Data, lines: Lines, service: Server, jwt_secret: str, seconds: float) -> list[Row]:
    """All rows, for measurements of so many seconds."""
    event = f"/api/v1/events/{data.ticket_type.event_id}"
    seat_map = f"/api/v1/seats/events/{data.stadium_id}"
    sales = iter([Sale(seat.id, _hold_seat(seat, jwt_secret)) for seat in data.stadium_seats])
    free_seats = iter(data.free_seats)
    selling = f"{SALES_PER_SECOND} sold/s"

    def unchanged() -> Iterable[bytes]:
        return repeat(_get(seat_map, f"If-None-Match: {service.get(seat_map).headers['ETag']}"))

    def seat_holds() -> Iterable[bytes]:
        return [_hold_seat(seat, jwt_secret) for seat in islice(free_seats, supply(seconds))]

    def ticket_holds() -> Iterable[bytes]:
        return [_hold_ticket(data.ticket_type, jwt_secret) for _ in range(supply(seconds))]

    return [
        Row("GET /events", 0.8, 1.1, lambda: repeat(_get("/api/v1/events"))),
        Row("GET /events/{id}", 0.8, 1.1, lambda: repeat(_get(event))),
        Row(
            f"GET /seats/events/{{id}}, {selling}",
            0.2,
            0.5,
            lambda: repeat(_get(seat_map)),
            sales=sales,
        ),
        Row(
            f"GET /seats/events/{{id}}, gzip, {selling}",
            0.2,
            0.5,
            lambda: repeat(_get(seat_map, "Accept-Encoding: gzip")),
            sales=sales,
        ),
        Row("GET /seats/events/{id}, If-None-Match, none sold", 0.6, 0.9, unchanged, status=304),
        Row("POST /seats/reserve, distinct seats", 0.32, 0.4, seat_holds, status=201),
        Row("POST /reservations, one ticket type", 0.3, 0.4, ticket_holds, status=201),
        *_queue_rows(data.ticket_type.event_id, lines, jwt_secret),
    ]


def _queue_rows(open_id: str, lines: Lines, jwt_secret: str) -> list[Row]:
    """The rows of the waiting room: people who send requests again and again.

    Nobody waits for the event `open_id`, so everyone who asks there is inside.
    """
    tokens = [make_token(user_id, "user", jwt_secret) for user_id in lines.askers]

    def check(*event_ids: str) -> Callable[[], Iterable[bytes]]:
        return lambda: cycle(
            _post(f"/api/v1/queue/check/{event_id}", {}, token)
            for token, event_id in zip(tokens, cycle(event_ids), strict=False)
        )

    def status(event_id: str) -> Callable[[], Iterable[bytes]]:
        path = f"/api/v1/queue/status/{event_id}"
        return lambda: cycle(_get(path, f"Authorization: Bearer {token}") for token in tokens)

    def compared(name: str, ask: Callable[[str], Callable[[], Iterable[bytes]]]) -> list[Row]:
        short, long = (f"{name}, line of {line.people:,}" for line in (lines.short, lines.long))
        return [
            Row(short, None, None, ask(lines.short.event_id)),
            Row(long, None, None, ask(lines.long.event_id), against=short),
        ]

    return [
        Row(
            "POST /queue/check, inside or waiting", 0.65, 0.8, check(open_id, lines.short.event_id)
        ),
        *compared("POST /queue/check", check),
        *compared("GET /queue/status", status),
    ]


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def _hold_seat(seat: Item, jwt_secret: str) -> bytes:
    body = {"eventId": seat.event_id, "seatIds": [seat.id]}
    return _post("/api/v1/seats/reserve", body, _new_buyer(jwt_secret))


def _hold_ticket(ticket_type: Item, jwt_secret: str) -> bytes:
    items = [{"ticketTypeId": ticket_type.id, "quantity": 1}]
    body = {"eventId": ticket_type.event_id, "items": items}
    return _post("/api/v1/reservations", body, _new_buyer(jwt_secret))


def _new_buyer(jwt_secret: str) -> str:
    """The token of a new person."""
    return make_token(str(uuid.uuid4()), "user", jwt_secret)


def _post(path: str, body: object, token: str) -> bytes:
    content = json.dumps(body)
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", content]).encode()
