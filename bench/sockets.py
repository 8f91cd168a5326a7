"""The rows of the WebSockets: one room, and messages to it that are published in Redis."""

from __future__ import annotations

import itertools
import os
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import orjson
import redis

from bench.load import WARM_UP, Measurement, busy_seconds
from bench.report import Result
from bench.rig import Server
from bench.rows import Row
from bench.socket_load import Audience, Broadcast
from bench.wire import LoadFailed
from dev.make_token import make_token
from ticket_service.realtime import events
from ticket_service.realtime.websocket import text_frame
from ticket_service.stores import keys

SOCKETS = 1_000

IN_FLIGHT = 8
"""Messages in flight at full speed: the next one is sent when all have received the eighth before
it."""

PACE = 20.0
"""Messages a second for the measurement of the delay. At full speed that would be the queue's."""

WARM_UP_SOCKETS = 20
"""Sockets opened and closed before memory is measured, so that everything is loaded."""

ROW = Row(f"{SOCKETS:,} WebSockets in a room: deliveries", 36, 80, list)

SINGLY = Row("the same, each in a write of its own", None, None, list)
"""With two messages in flight: one is being sent and one waits, so none are written together."""


@dataclass(frozen=True)
class Room:
    """The results."""

    results: list[list[Result]]
    """By round."""
    bytes_each: float
    """By how much the worker process grew for each socket."""

    def remarks(self) -> list[str]:
        """The facts that the table does not show."""
        return [
            f"WebSockets: a delivery is one message to one socket, {IN_FLIGHT} messages in flight;"
            f" p50 and p99 from publishing to hearing at {PACE:.0f} messages/s;"
            f" {self.bytes_each / 1024:.1f} KiB of the worker's memory for each",
        ]


def measure(
    server: Server,
    redis_url: str,
    event_id: str,
    jwt_secret: str,
    seconds: float,
    yardsticks: Iterable[Callable[[], float]],
) -> Room:
    """Fill a room of a fresh server, and measure one round after each call of a yardstick.

    Raises LoadFailed.
    """
    with redis.Redis.from_url(redis_url) as client:
        publish, size = messages(client, event_id)
        [worker] = server.process.children()
        try:
            with Audience(server.port, tokens(WARM_UP_SOCKETS, jwt_secret), event_id) as audience:
                audience.wait_for_quiet()
            before = worker.memory_info().rss
            with Audience(server.port, tokens(SOCKETS, jwt_secret), event_id) as audience:
                audience.wait_for_quiet()
                grown = worker.memory_info().rss - before
                results = [
                    _round(server, audience, publish, size, seconds, yardstick())
                    for yardstick in yardsticks
                ]
        except OSError as error:
            raise LoadFailed(f"the server cannot be reached: {error}") from error
    return Room(results, grown / SOCKETS)


def _round(
    server: Server,
    audience: Audience,
    publish: Callable[[], object],
    size: int,
    seconds: float,
    yardstick: float,
) -> list[Result]:
    """Both rows, which share one measurement of the delay."""
    fast = [
        full_speed(server, audience, Broadcast(audience, publish, size, in_flight=count), seconds)
        for count in (IN_FLIGHT, 2)
    ]
    paced = Broadcast(audience, publish, size, in_flight=IN_FLIGHT, pace=PACE)
    paced.run(now := time.perf_counter(), now + seconds)
    percentiles = statistics.quantiles(paced.delays, n=100)
    p50_ms, p99_ms = percentiles[49] * 1000, percentiles[98] * 1000
    return [
        Result(
            row,
            replace(measured, p50_ms=p50_ms, p99_ms=p99_ms),
            cpu,
            ratio=measured.rate / yardstick,
            script_us=0.0,
        )
        for row, (measured, cpu) in zip((ROW, SINGLY), fast, strict=True)
    ]


def full_speed(
    server: Server, audience: Audience, broadcast: Broadcast, seconds: float
) -> tuple[Measurement, float]:
    """What was delivered, and the server's share of its core. Raises LoadFailed."""
    started, own, used = time.perf_counter(), time.process_time(), server.cpu_seconds()
    busy = busy_seconds()
    begin = started + seconds * WARM_UP
    broadcast.run(begin, begin + seconds)
    elapsed = time.perf_counter() - started
    own, used = time.process_time() - own, server.cpu_seconds() - used
    measurement = Measurement(
        rate=len(broadcast.delays) / seconds,
        p50_ms=0.0,
        p99_ms=0.0,
        elapsed=elapsed,
        statuses=Counter(),
        generator_cpu=own / elapsed,
        cores_busy=(busy_seconds() - busy) / elapsed / len(os.sched_getaffinity(0)),
        sales=None,
    )
    return measurement, used / elapsed


def messages(client: redis.Redis, event_id: str) -> tuple[Callable[[], object], int]:
    """A function that publishes the next message as an instance would, and the frames' size in
    bytes."""
    ticket_type = str(uuid.uuid4())
    left = itertools.cycle(range(900_000, 100_000, -1))  # all with six digits

    def update() -> events.RoomEvent:
        return events.ticket_updated(event_id, ticket_type, next(left), 1_000_000)

    def publish() -> object:
        name, room, payload = update()
        message = {"kind": "tell", "name": name, "room": room, "payload": payload, "skip": None}
        return client.publish(keys.BUS, orjson.dumps([message]))

    name, _, payload = update()
    return publish, len(text_frame(b"42" + orjson.dumps([name, payload])))


def tokens(count: int, jwt_secret: str) -> Iterable[str]:
    """Those of so many new people."""
    return (make_token(str(uuid.uuid4()), "user", jwt_secret) for _ in range(count))
