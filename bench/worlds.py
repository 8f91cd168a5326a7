"""Two installations to compare, a small one and a large one, and what makes one grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain

from bench import data, rig, sockets
from bench.data import Data, Item
from bench.rig import Plan, Server, Stores
from bench.socket_load import Audience

EACH = 4
"""Reservations of one buyer among those that are made."""

BUYERS = 200
"""Buyers who ask for theirs."""

_BUYER = "00000000-0000-4000-8000-"

# Paid, cancelled and expired reservations of the ticket type that is sold meanwhile.
_RESERVATIONS_SQL = f"""
    WITH made AS (
        INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, status,
                                  payment_status, expires_at)
        SELECT ('{_BUYER}' || lpad((n / {EACH})::text, 12, '0'))::uuid,
               %(event_id)s, 'GROWN-' || n, 1000,
               CASE WHEN n %% 10 < 7 THEN 'confirmed' ELSE 'cancelled' END,
               CASE WHEN n %% 10 < 7 THEN 'completed' WHEN n %% 10 = 7 THEN 'refunded'
                    ELSE 'failed' END,
               now() AT TIME ZONE 'UTC' - make_interval(mins => n %% 100000 + 10)
        FROM generate_series(0, %(count)s - 1) AS n
        RETURNING id
    )
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal)
    SELECT id, %(ticket_type_id)s, 1, 1000, 1000 FROM made
"""

# Half are over and half are to come. A title has six syllables out of 2,000, the same in each run.
_EVENTS_SQL = """
    INSERT INTO events (title, artist_name, venue, event_date, sale_start_date, sale_end_date,
                        status)
    SELECT (SELECT string_agg(chr(44032 + (hashint4(6 * n + i) & 65535) %% 2000 * 5), '' ORDER BY i)
            FROM generate_series(1, 6) AS i),
           'Artist ' || n, 'Hall ' || n %% 100, day, day - interval '30 days',
           day - interval '1 day', CASE WHEN n %% 2 = 0 THEN 'ended' ELSE 'upcoming' END
    FROM generate_series(0, %(count)s - 1) AS n,
        LATERAL (SELECT now() AT TIME ZONE 'UTC'
                     + make_interval(days => CASE WHEN n %% 2 = 0 THEN -60 ELSE 60 END)) AS d (day)
    RETURNING title
"""

# Events on sale that are like the demonstration's stadium, with `seats` seats each.
_HALLS_SQL = """
    WITH stadium AS (
        SELECT e.* FROM events e JOIN seat_layouts l ON l.id = e.seat_layout_id
        WHERE e.status = 'on_sale' ORDER BY l.total_seats DESC, e.id LIMIT 1
    ),
    made AS (
        INSERT INTO events (title, event_date, sale_start_date, sale_end_date, status,
                            seat_layout_id)
        SELECT 'Hall', event_date, sale_start_date, sale_end_date, status, seat_layout_id
        FROM stadium, generate_series(1, %(count)s)
        RETURNING id
    )
    INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)
    SELECT made.id, 'S' || n / 2000, n %% 2000 / 50 + 1, n %% 50 + 1,
           concat_ws('-', 'S' || n / 2000, n %% 2000 / 50 + 1, n %% 50 + 1), 99000
    FROM made, generate_series(0, %(seats)s - 1) AS n
    RETURNING event_id::text, id::text
"""


@dataclass
class World:
    """One installation: an instance with servers of its own."""

    plan: Plan
    stack: ExitStack
    """Ends what was made when it ends."""
    stores: Stores
    data: Data
    service: Server
    free_seats: Iterator[Item]
    titles: list[str] = field(default_factory=list)
    """Of the events that were made."""
    searches: dict[str, Iterator[bytes]] = field(default_factory=dict)
    """The requests of each kind of search that were not sent yet."""
    buyers: list[str] = field(default_factory=list)
    """Some of those whose reservations were made."""
    halls: Iterator[Item] = field(init=False)
    """The seats of the halls that were made last, one of each event in turn."""
    hall_seats: int = 0
    """How many seats they have together."""
    hall_ids: list[str] = field(default_factory=list)
    """The events of these halls."""
    audience: Audience = field(init=False)
    """The sockets in a room, which hear what happens there."""

    def make_reservations(self, count: int) -> None:
        """Make reservations of buyers who have EACH of them. Raises psycopg2.Error."""
        event_id, ticket_type_id = self.data.ticket_type
        values = {"event_id": event_id, "ticket_type_id": ticket_type_id, "count": count}
        self._make(_RESERVATIONS_SQL, values)
        self.buyers = [f"{_BUYER}{n:012}" for n in range(BUYERS)]

    def make_events(self, count: int) -> None:
        """Make events that nobody buys. Raises psycopg2.Error."""
        self.titles = [title for (title,) in self._make(_EVENTS_SQL, {"count": count})]

    def make_halls(self, count: int, seats: int) -> None:
        """Make events on sale with so many seats each. Raises psycopg2.Error."""
        made = self._make(_HALLS_SQL, {"count": count, "seats": seats})
        by_event: dict[str, list[Item]] = {}
        for item in (Item(*row) for row in made):
            by_event.setdefault(item.event_id, []).append(item)
        self.hall_ids = list(by_event)
        self.hall_seats = count * seats
        self.halls = chain.from_iterable(zip(*by_event.values(), strict=True))

    def make_audience(self, count: int) -> None:
        """Open so many sockets in the room of one event. Raises LoadFailed, OSError."""
        tokens = sockets.tokens(count, self.plan.jwt_secret)
        self.audience = Audience(self.service.port, tokens, self.data.ticket_type.event_id)
        self.audience.wait_for_quiet()
        self.stack.enter_context(self.audience)

    def _make(self, statement: str, values: dict[str, object]) -> list[tuple[str, ...]]:
        with data.autocommit(self.stores.database_url) as cursor:
            cursor.execute(statement, values)
            made = cursor.fetchall() if cursor.description else []
            cursor.execute("VACUUM ANALYZE")
        return made


@contextmanager
def worlds(plan: Plan, free_seats: int) -> Iterator[tuple[World, World]]:
    """Both, equal at first, with so many seats to sell in each. Raises ProcessFailed,
    psycopg2.Error."""
    with ExitStack() as stack:
        made = []
        for name in ("small", "large"):
            folder = plan.folder / name
            folder.mkdir()
            stores = stack.enter_context(rig.stores(folder))
            content = data.load(stores.database_url, free_seats)
            service = stack.enter_context(rig.service(folder, plan.cores, stores))
            made.append(World(plan, stack, stores, content, service, iter(content.free_seats)))
        small, large = made
        yield small, large
