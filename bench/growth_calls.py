"""The calls that are measured with little data and with much. Each function returns a rate."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, cycle, islice, repeat
from urllib.parse import quote

import redis

from bench import lines, purchases, sockets
from bench.data import Item
from bench.load import CONNECTIONS, measure
from bench.rows import bearer, get_request, hold_seat, hold_ticket, new_token, post_request, supply
from bench.socket_load import Broadcast
from bench.wire import LoadFailed
from bench.worlds import World
from dev.make_token import make_token

ASKERS = [str(uuid.uuid4()) for _ in range(lines.ASKERS)]
"""People who ask for their place again and again."""


def seat_holds(world: World) -> float:
    """Seats of halls that are sold one after the other, each by a new buyer."""
    return _holds(world, world.free_seats)


def hall_holds(world: World) -> float:
    """Seats of the halls that were made last."""
    return _holds(world, islice(world.halls, world.hall_seats // world.plan.rounds))


def _holds(world: World, seats: Iterator[Item]) -> float:
    wanted = islice(seats, supply(world.plan.seconds))
    secret = world.plan.jwt_secret
    return _rate(world, [hold_seat(seat, new_token(secret)) for seat in wanted], status=201)


def ticket_holds(world: World) -> float:
    """Tickets of one type, each for a new buyer."""
    ticket_type, secret = world.data.ticket_type, world.plan.jwt_secret
    wanted = range(supply(world.plan.seconds))
    return _rate(world, [hold_ticket(ticket_type, new_token(secret)) for _ in wanted], status=201)


def whole_purchases(world: World) -> float:
    """Purchases, as in the first part of the run."""
    plan = world.plan
    steps = (
        purchases.purchase(seat, plan.jwt_secret, plan.service_token) for seat in world.free_seats
    )
    bought = purchases.buy([world.service.port], steps, plan.seconds, None)
    if bought.wrong:
        raise LoadFailed(f"wrong answers in a purchase: {dict(bought.wrong)}")
    return bought.rate


def own_reservations(world: World) -> float:
    """The list of their own reservations, of people who have some."""
    return _asked(world, lambda mine: [get_request("/api/v1/reservations/my", mine)], world.buyers)


def event_list(world: World) -> float:
    """The first page of the events."""
    return _rate(world, repeat(get_request("/api/v1/events")))


def event(world: World) -> float:
    """One event."""
    return _rate(world, repeat(get_request(f"/api/v1/events/{world.data.stadium_id}")))


def check(world: World) -> float:
    """`check` of each hall in turn, by people who repeat it."""
    paths = [f"/api/v1/queue/check/{event_id}" for event_id in world.hall_ids]
    return _asked(world, lambda mine: [post_request(path, {}, mine) for path in paths])


def status(world: World) -> float:
    """`status`, likewise."""
    paths = [f"/api/v1/queue/status/{event_id}" for event_id in world.hall_ids]
    return _asked(world, lambda mine: [get_request(path, mine) for path in paths])


def _asked(
    world: World, requests: Callable[[str], Sequence[bytes]], people: Sequence[str] = ASKERS
) -> float:
    """People who repeat their requests, all of them in a mixed order."""
    secret = world.plan.jwt_secret
    turns = [
        request for user in people for request in requests(bearer(make_token(user, "user", secret)))
    ]
    random.Random(0).shuffle(turns)
    return _rate(world, cycle(turns))


def seat_map(world: World) -> float:
    """The map of a hall, compressed."""
    path = f"/api/v1/seats/events/{world.hall_ids[0]}"
    return _rate(world, repeat(get_request(path, "Accept-Encoding: gzip")))


def unchanged_map(world: World) -> float:
    """The map of a hall, by somebody who has it."""
    path = f"/api/v1/seats/events/{world.hall_ids[0]}"
    etag = world.service.get(path).headers["ETag"]
    return _rate(world, repeat(get_request(path, f"If-None-Match: {etag}")), status=304)


def search_two_letters(world: World) -> float:
    """Two syllables out of a title."""
    pairs = [title[at : at + 2] for title in world.titles for at in range(len(title) - 1)]
    return _searches(world, "two letters", pairs)


def search_title(world: World) -> float:
    """The whole title of an event."""
    return _searches(world, "title", world.titles)


def search_frequent(world: World) -> float:
    """A word that one in ten of the events has, or one of the others like it."""
    return _searches(world, "frequent", [f"Hall {digit}" for digit in range(10)])


def search_nothing(world: World) -> float:
    """What no event has."""
    return _searches(world, "nothing", [f"zz{number}" for number in range(10_000)])


def _searches(world: World, kind: str, words: Sequence[str]) -> float:
    """Searches one at a time. No two are the same, so that no answer is cached: where there are
    few words, they differ in the length of the page or its number."""
    paths = (
        f"/api/v1/events?q={quote(word)}&page={page}&limit={limit}"
        for page in count(1)
        for limit in range(100, 0, -1)
        for word in words
    )
    requests = world.searches.setdefault(kind, map(get_request, paths))
    return _rate(world, requests, connections=1)


def deliveries(world: World) -> float:
    """Messages to the room, each counted once for each socket."""
    event_id = world.data.ticket_type.event_id
    with redis.Redis.from_url(world.stores.redis_url) as client:
        publish, size = sockets.messages(client, event_id)
        broadcast = Broadcast(world.audience, publish, size, in_flight=sockets.IN_FLIGHT)
        measured, _ = sockets.full_speed(
            world.service, world.audience, broadcast, world.plan.seconds
        )
    return measured.rate


def _rate(
    world: World,
    requests: Iterable[bytes],
    *,
    status: int = 200,
    connections: int = CONNECTIONS,
) -> float:
    """Answers a second. Raises LoadFailed if one has another status."""
    measured = measure(
        [world.service.port],
        iter(requests),
        world.plan.seconds,
        connections=connections,
    )
    if set(measured.statuses) != {status}:
        raise LoadFailed(f"wrong answers: {dict(measured.statuses)} instead of {status}")
    return measured.rate
