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


YARDSTICK = Row("Y: Flask returns a constant", None, None, lambda: repeat(get_request("/")))


def supply(seconds: float) -> int:
    """How many POST requests a measurement of so many seconds may use up."""
    return math.ceil(FASTEST * seconds * (1 + WARM_UP))


def rows(
    data: Data,
    free_seats: Iterator[Item],
    lines: Lines,
    service: Server,
    jwt_secret: str,
    seconds: float,
) -> list[Row]:
    """All rows, for measurements of so many seconds. `free_seats`: those to sell."""
    event = f"/api/v1/events/{data.ticket_type.event_id}"

    def seat_holds() -> Iterable[bytes]:
        seats = islice(free_seats, supply(seconds))
        return [hold_seat(seat, new_token(jwt_secret)) for seat in seats]

    def ticket_holds() -> Iterable[bytes]:
        buyers = (new_token(jwt_secret) for _ in range(supply(seconds)))
        return [hold_ticket(data.ticket_type, token) for token in buyers]

    return [
        Row("GET /events", 0.8, 1.1, lambda: repeat(get_request("/api/v1/events"))),
        Row("GET /events/{id}", 0.8, 1.1, lambda: repeat(get_request(event))),
        *_seat_map_rows(data, service, jwt_secret),
        Row("POST /seats/reserve, distinct seats", 0.32, 0.4, seat_holds, status=201),
        Row("POST /reservations, one ticket type", 0.3, 0.4, ticket_holds, status=201),
        *_queue_rows(data.ticket_type.event_id, lines, jwt_secret),
    ]


def _seat_map_rows(data: Data, service: Server, jwt_secret: str) -> list[Row]:
    """The rows of a stadium's seat map, of which seats are sold meanwhile."""
    seat_map = f"/api/v1/seats/events/{data.stadium_id}"
    gzip = "Accept-Encoding: gzip"
    selling = f"{SALES_PER_SECOND} sold/s"
    sales = iter(
        [Sale(seat.id, hold_seat(seat, new_token(jwt_secret))) for seat in data.stadium_seats]
    )

    def unchanged() -> Iterable[bytes]:
        etag = service.get(seat_map).headers["ETag"]
        return repeat(get_request(seat_map, f"If-None-Match: {etag}"))

    def reading(*headers: str) -> Callable[[], Iterable[bytes]]:
        return lambda: repeat(get_request(seat_map, *headers))

    name = "GET /seats/events/{id}"
    return [
        Row(f"{name}, {selling}", 0.2, 0.5, reading(), sales=sales),
        Row(f"{name}, gzip, {selling}", 0.2, 0.5, reading(gzip), sales=sales),
        Row(f"{name}, If-None-Match, none sold", 0.6, 0.9, unchanged, status=304),
    ]


def _queue_rows(open_id: str, lines: Lines, jwt_secret: str) -> list[Row]:
    """The rows of the waiting room: people who send requests again and again.

    Nobody waits for the event `open_id`, so everyone who asks there is inside.
    """
    tokens = [make_token(user_id, "user", jwt_secret) for user_id in lines.askers]

    def asked(ask: Callable[[str, str], bytes], *event_ids: str) -> Callable[[], Iterable[bytes]]:
        """Everyone in turn, about these events in turn."""
        return lambda: cycle(
            ask(event_id, bearer(token))
            for token, event_id in zip(tokens, cycle(event_ids), strict=False)
        )

    def compared(name: str, ask: Callable[[str, str], bytes]) -> list[Row]:
        short, long = (f"{name}, line of {line.people:,}" for line in (lines.short, lines.long))
        return [
            Row(short, None, None, asked(ask, lines.short.event_id)),
            Row(long, None, None, asked(ask, lines.long.event_id), against=short),
        ]

    calls = {
        "POST /queue/check": _check,
        "GET /queue/status": _status,
        "POST /queue/heartbeat": _heartbeat,
    }
    return [
        *(
            Row(f"{name}, inside or waiting", 0.65, 0.8, asked(ask, open_id, lines.short.event_id))
            for name, ask in calls.items()
        ),
        *compared("POST /queue/check", _check),
        *compared("GET /queue/status", _status),
    ]


def _check(event_id: str, authorization: str) -> bytes:
    return post_request(f"/api/v1/queue/check/{event_id}", {}, authorization)


def _status(event_id: str, authorization: str) -> bytes:
    return get_request(f"/api/v1/queue/status/{event_id}", authorization)


def _heartbeat(event_id: str, authorization: str) -> bytes:
    return post_request(f"/api/v1/queue/heartbeat/{event_id}", {}, authorization)


def get_request(path: str, *headers: str) -> bytes:
    """A GET with these header lines."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def post_request(path: str, body: object, *headers: str) -> bytes:
    """A POST of JSON with these header lines."""
    content = json.dumps(body)
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        *headers,
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", content]).encode()


def hold_seat(seat: Item, token: str) -> bytes:
    """A request that holds a seat."""
    body = {"eventId": seat.event_id, "seatIds": [seat.id]}
    return post_request("/api/v1/seats/reserve", body, bearer(token))


def bearer(token: str) -> str:
    """The header line of a person."""
    return f"Authorization: Bearer {token}"


def new_token(jwt_secret: str) -> str:
    """The token of a new person."""
    return make_token(str(uuid.uuid4()), "user", jwt_secret)


def hold_ticket(ticket_type: Item, token: str) -> bytes:
    """A request that holds one ticket."""
    items = [{"ticketTypeId": ticket_type.id, "quantity": 1}]
    body = {"eventId": ticket_type.event_id, "items": items}
    return post_request("/api/v1/reservations", body, bearer(token))
