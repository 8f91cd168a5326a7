"""What reads cost: ETags, compression, and one reading for a crowd."""

from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import Servers
from tests.support import factories
from tests.support.buyers import at_once, token_for
from tests.support.factories import MakeEvent, one, section, ticket
from tests.support.seat_map import (
    cancel,
    execute,
    hold_tickets,
    own_database,
    reserve,
    seat_map,
    statuses,
)
from tests.support.service import Service
from tests.support.wire import check_soon

StartService = Callable[..., Service]

STADIUM = [section(name, rows=49, seats=25) for name in ("A", "B", "C", "D")]


def test_a_client_that_has_the_answer_gets_304_without_a_body(
    service: Service, make_event: MakeEvent
):
    event = make_event(sections=[section()])
    etag = seat_map(service, event).headers["ETag"]
    answer = seat_map(service, event, **{"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("{etag}", 304),
        ("W/{opaque}", 304),
        ("{opaque}", 304),
        ('"other", {etag}', 304),
        ('W/"other",{opaque} , "third"', 304),
        ("*", 304),
        ('"other"', 200),
        ('W/"other", "third"', 200),
        ('"*"', 200),
        ("", 200),
    ],
)
def test_if_none_match_is_compared_weakly(
    service: Service, make_event: MakeEvent, sent: str, status: int
):
    event = make_event(sections=[section()])
    etag = seat_map(service, event).headers["ETag"]
    sent = sent.format(etag=etag, opaque=etag.removeprefix("W/"))
    assert seat_map(service, event, **{"If-None-Match": sent}).status == status


def test_the_etag_changes_with_a_write_and_comes_back_with_its_undoing(
    service: Service, other_service: Service, make_event: MakeEvent
):
    token = token_for()
    event = make_event(sections=[section()])
    before = seat_map(service, event).headers["ETag"]
    assert seat_map(other_service, event).headers["ETag"] == before
    reservation_id = reserve(other_service, event, event.seat_ids[0], token)
    changed = seat_map(service, event, **{"If-None-Match": before})
    assert changed.status == 200
    assert changed.headers["ETag"] != before
    cancel(other_service, reservation_id, token)
    assert seat_map(service, event, **{"If-None-Match": before}).status == 304


def test_the_etag_changes_with_a_single_digit(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket(total=50)])
    paths = [
        f"/events/{event.id}",
        f"/tickets/event/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
    ]
    before = [service.get(path).headers["ETag"] for path in paths]
    hold_tickets(service, event, 1, token_for())
    after = [service.get(path).headers["ETag"] for path in paths]
    assert not set(before) & set(after)


def test_every_public_read_has_an_etag(service: Service, make_event: MakeEvent):
    event = make_event(sections=[section()], tickets=[ticket()])
    for path in (
        f"/events?q={event.title.split()[1]}",
        f"/events/{event.id}",
        f"/tickets/event/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
        "/seats/layouts",
        f"/seats/events/{event.id}",
    ):
        first = service.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = service.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status == 304, path


@pytest.mark.parametrize("accepted", ["gzip", "GZIP", "br, gzip;q=0.5", "*"])
def test_a_large_answer_is_compressed_for_those_who_accept_it(
    service: Service, make_event: MakeEvent, accepted: str
):
    event = make_event(sections=[section(seats=50)])
    plain = seat_map(service, event)
    small = seat_map(service, event, **{"Accept-Encoding": accepted})
    assert small.headers["Content-Encoding"] == "gzip"
    assert int(small.headers["Content-Length"]) < len(plain.body) / 2
    assert small.body == plain.body  # the client has unpacked it
    assert small.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in small.headers["Vary"]


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip;q=0, *", "br", ""])
def test_an_answer_is_not_compressed_for_those_who_do_not(
    service: Service, make_event: MakeEvent, accepted: str
):
    event = make_event(sections=[section(seats=50)])
    seat_map(service, event, **{"Accept-Encoding": "gzip"})
    plain = seat_map(service, event, **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain.headers
    assert int(plain.headers["Content-Length"]) == len(plain.body)
    assert len(plain.json()["seats"]) == 50
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_a_small_answer_is_not_compressed(service: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket()])
    path = f"/tickets/availability/{event.ticket_type_ids[0]}"
    answer = service.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_a_crowd_at_an_unread_seat_map_makes_it_once(servers: Servers, start_service: StartService):
    with own_database(servers) as (url, database):
        service = start_service(DATABASE_URL=url)
        stadium = factories.make_event(database, sections=STADIUM)
        before = seat_rows_read(database)
        crowd = [partial(seat_map, service, stadium, **{"Accept-Encoding": "gzip"})] * 50
        assert {len(answer.json()["seats"]) for answer in at_once(crowd)} == {4900}

        # The negative control: one more reading, for another program's write, is counted.
        [first, *_] = stadium.seat_ids
        execute(database, "UPDATE seats SET status = 'reserved' WHERE id = %s", first)
        check_soon(lambda: statuses(service, stadium)[0], "reserved")

        service.kill()
        check_soon(lambda: one(database, OTHERS), 0, seconds=10)
        assert (seat_rows_read(database) - before) // 4900 == 2


def seat_rows_read(database: Connection) -> int:
    """How many rows of `seats` PostgreSQL has read for programs that have ended, and for us."""
    one(database, "SELECT pg_stat_force_next_flush()")
    rows = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'seats'"
    return int(one(database, rows))


OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
"""


def test_what_does_not_exist_leaves_nothing_in_redis(service: Service, redis: Redis):
    unknown = str(uuid4())
    for path in (f"/seats/events/{unknown}", f"/events/{unknown}", f"/tickets/event/{unknown}"):
        assert service.get(path).status == 404
    assert redis.keys(f"*{unknown}*") == []
