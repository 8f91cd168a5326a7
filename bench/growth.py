"""The second part of a run: the same calls with little data and with much.

Two installations run side by side, and each call is measured on both in turn. One thing after the
other grows in the large one, and stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench import growth_calls as do
from bench.results import Figure
from bench.rig import Outcome, Plan
from bench.rows import supply
from bench.worlds import World, worlds

WANTED = 1.2
"""How many times as long a call may take in the large installation as in the small one."""

SEARCH_MS = 5.0
"""Wanted of a search, asked alone."""

ON_SALE_SEATS = 100_000
"""Seats of all events that are on sale at once."""

SEARCHES = "/s, one at a time"


@dataclass(frozen=True)
class Call:
    """One kind of request, or another thing that the service does again and again."""

    name: str
    rate: Callable[[World], float]
    """Measures how many are done a second. Raises LoadFailed."""
    unit: str = "/s"
    flat: bool = True
    """Whether it should cost the same in both. If not, more is found or sent."""


@dataclass(frozen=True)
class Dimension:
    """Something that grows."""

    name: str
    small: int
    large: int
    grow: Callable[[World, int], None]
    """Makes so many of it."""
    calls: Sequence[Call]


def run(plan: Plan) -> Outcome:
    """Measure all. Raises LoadFailed, ProcessFailed, psycopg2.Error, RedisError."""
    plan = replace(plan, seconds=plan.seconds / 2)
    holds = 4 * plan.rounds * supply(plan.seconds)
    figures = []
    print(f"The same calls with little and with much (wanted: {WANTED} times as long at most)")
    with worlds(plan, holds) as (small, large):
        for dimension in [*_of_data(plan), *_of_people(plan)]:
            sizes = dimension.small, dimension.large
            title = f"{dimension.name}, {sizes[0]:,} and {sizes[1]:,}"
            print(f"  {title}", flush=True)
            for world, size in zip((small, large), sizes, strict=True):
                dimension.grow(world, size)
            for call in dimension.calls:
                rates = [_both(call, small, large, number) for number in range(plan.rounds)]
                print(_line(call, rates), flush=True)
                times = [these / those for these, those in rates]
                figures.append(Figure(f"{title}: {call.name}", "times as long", times, False))
    return Outcome(figures, faults=0)


def _both(call: Call, small: World, large: World, number: int) -> tuple[float, float]:
    """The rates in both; every other round begins with the large one."""
    if number % 2:
        after = call.rate(large)
        return call.rate(small), after
    return call.rate(small), call.rate(large)


def _line(call: Call, rates: Sequence[tuple[float, float]]) -> str:
    times = median(small / large for small, large in rates)
    small, large = (median(column) for column in zip(*rates, strict=True))
    verdict = ("reached" if times <= WANTED else "MISSED") if call.flat else "more is found or sent"
    alone = ""
    if call.unit == SEARCHES:
        alone = f", {1000 / large:.1f} ms each (wanted: under {SEARCH_MS:g})"
    return (
        f"    {call.name:<48} {small:>9,.0f} and {large:>9,.0f}{call.unit}:"
        f" {times:.2f} times as long, {verdict}{alone}"
    )


HOLDS = Call("POST /seats/reserve", do.seat_holds)
PURCHASES = Call("purchases", do.whole_purchases)
CHECK = Call("POST /queue/check", do.check)


def _of_data(plan: Plan) -> list[Dimension]:
    """What lies in the tables."""
    return [
        Dimension(
            *("reservations", 1_000, plan.sized(2_000_000, least=1_000)),
            World.make_reservations,
            [
                *(HOLDS, PURCHASES, Call("POST /reservations", do.ticket_holds)),
                Call("GET /reservations/my", do.own_reservations),
            ],
        ),
        Dimension(
            *("events", 20, plan.sized(20_000, least=20)),
            World.make_events,
            [
                *(HOLDS, PURCHASES, Call("GET /events", do.event_list)),
                Call("GET /events/{id}", do.event),
                Call("search: two letters", do.search_two_letters, SEARCHES),
                Call("search: a title", do.search_title, SEARCHES),
                Call("search: no such event", do.search_nothing, SEARCHES),
                Call("search: one event in ten", do.search_frequent, SEARCHES, flat=False),
            ],
        ),
        Dimension(
            *("seats of a hall", 4_900, plan.sized(50_000, least=4_900)),
            lambda world, size: world.make_halls(1, size),
            [
                Call("POST /seats/reserve, in the hall", do.hall_holds),
                Call("its map, If-None-Match", do.unchanged_map),
                Call("its map, gzip", do.seat_map, flat=False),
            ],
        ),
    ]


def _of_people(plan: Plan) -> list[Dimension]:
    """What people do at the same time."""
    status = Call("GET /queue/status", do.status)
    return [
        Dimension(
            *("events on sale at once", 1, plan.sized(200, least=2)),
            lambda world, size: world.make_halls(size, ON_SALE_SEATS // size),
            [CHECK, status, Call("POST /seats/reserve, in each in turn", do.hall_holds)],
        ),
        Dimension(
            *("sockets in a room", 10, plan.sized(5_000, least=10)),
            World.make_audience,
            [Call("deliveries, each", do.deliveries), CHECK, HOLDS],
        ),
    ]
