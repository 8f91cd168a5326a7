"""Every answer comes within ten seconds, whatever it waits for: the gateway gives up then."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support.buyers import at_once, token_for
from tests.support.degradation import (
    END_CONNECTIONS,
    Instance,
    buy_seat,
    eventually,
    queue_calls,
    read,
    refused,
    row_locked,
    sold,
    timed,
)
from tests.support.factories import Event, one
from tests.support.internal import audit
from tests.support.repeats import Buyer
from tests.support.service import Response, Service
from tests.support.sockets import connected
from ticket_service.stores import keys
from ticket_service.stores.deadline import REQUEST_SECONDS

PROMISED = 10.0
"""Seconds."""

Call = Callable[[], Response]


def calls(service: Service, event: Event) -> list[Call]:
    """One of every kind that needs a server, and more sales and reads than there are
    connections."""
    token = token_for()
    held = buy_seat(service, event, 9, token=token).json()["reservation"]["id"]
    reads = [
        f"/events?q={uuid4()}",
        f"/events/{event.id}",
        f"/seats/events/{event.id}",
        f"/tickets/availability/{event.ticket_type_ids[0]}",
        f"/reservations/{held}",
        *["/reservations/my"] * 10,
    ]
    return [
        *(partial(service.get, path, token=token) for path in reads),
        partial(service.post, f"/reservations/{held}/cancel", token=token),
        *(partial(buy_seat, service, event, seat) for seat in range(9)),
        *(Buyer(service, event, kind).buy for kind in ("seats", "tickets")),
        *(
            partial(
                service.request, method, f"/api/v1{path}", token=token_for(role=role), json=body
            )
            for method, path, role, body in queue_calls(event)
        ),
        partial(service.request, "GET", "/health/ready"),
    ]


@pytest.mark.parametrize("hanging", [["postgres"], ["redis"], ["postgres", "redis"]])
def test_no_answer_takes_longer_whatever_hangs(
    instance: Instance, event: Event, hanging: list[str]
):
    """Also a repeat under an Idempotency-Key, and what comes while the first ones still wait."""
    service = instance.service
    repeats = [Buyer(service, event, kind) for kind in ("seats", "tickets")]
    assert [buyer.buy().status for buyer in repeats] == [201, 201]
    asked = [*calls(service, event), *(buyer.buy for buyer in repeats)]
    for name in hanging:
        getattr(instance, name).hang()

    def late(call: Call, pause: float) -> tuple[Response, float]:
        time.sleep(pause)
        return timed(call)

    answers = at_once([partial(late, call, pause) for pause in (0, 4) for call in asked])
    assert max(seconds for _, seconds in answers) < PROMISED
    assert {answer.status for answer, _ in answers} <= {200, 201, 403, 409, 503}
    for answer, _ in answers:
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) >= 1


def test_the_waits_of_a_request_are_counted_together(instance: Instance, event: Event):
    """A cancellation asks PostgreSQL twice: the first answer is late, the second never comes."""
    service, token = instance.service, token_for()
    held = buy_seat(service, event, token=token).json()["reservation"]["id"]
    cancel = partial(service.post, f"/reservations/{held}/cancel", token=token)
    check_is_stopped(instance, cancel, b"EXECUTE event_of_reservation")


def test_a_repeat_has_no_more_time(instance: Instance, event: Event, database: Connection):
    """It looks for the first reservation where it does not get the lock of the seat."""
    buyer = Buyer(instance.service, event, "seats")
    assert buyer.buy().status == 201
    with row_locked(database, "seats", event.seat_ids[0]):
        check_is_stopped(instance, buyer.buy, b"EXECUTE lock_seats")


def test_an_audit_may_take_longer(instance: Instance):
    """No gateway waits for it, and it reads whole tables."""
    instance.postgres.delay_answer(b"EXECUTE audit_0", REQUEST_SECONDS + 1)
    assert audit(instance.service) == []


def check_is_stopped(instance: Instance, call: Call, question: bytes) -> None:
    """Fail unless the call is refused in time when this question is answered after five seconds,
    and all later ones never."""
    instance.postgres.delay_answer(question, 5)
    with ThreadPoolExecutor() as threads:
        stopped = threads.submit(timed, call)
        eventually(instance.postgres.delays)
        instance.postgres.hang()
        answer, seconds = stopped.result()
    assert (refused(answer), seconds < PROMISED) == (True, True)


def test_a_sale_that_was_given_up_is_seen_and_found_again(
    instance: Instance, event: Event, database: Connection, redis_url: str
):
    """Its answer comes too late: PostgreSQL has committed, and all others are served meanwhile."""
    service, buyer = instance.service, Buyer(instance.service, event, "seats")
    assert service.get(f"/seats/events/{event.id}").status == 200
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        logged = len(service.log_lines())
        instance.postgres.delay_answer(b"EXECUTE lock_seats", 12)
        with ThreadPoolExecutor() as threads:
            late: Future[tuple[Response, float]] = threads.submit(timed, buyer.buy)
            eventually(lambda: sold(database, event) == (1, 1))
            assert buy_seat(service, event, 1).status == 201
            version = redis.get(keys.version(event.id))
            answer, seconds = late.result()
        assert (refused(answer), seconds < PROMISED) == (True, True)
        assert redis.get(keys.version(event.id)) != version
    seats = service.get(f"/seats/events/{event.id}").json()["seats"]
    assert [seat["status"] for seat in seats][:3] == ["locked", "locked", "available"]
    again = buyer.buy()
    assert (again.status, sold(database, event)) == (201, (2, 2))
    messages = [line["message"] for line in service.log_lines()[logged:]]
    assert "postgres refused" in messages
    assert "postgres connections given up" not in messages  # it says nothing about the server


def test_what_a_socket_began_to_read_does_not_keep_a_request(
    instance: Instance, make_event: Callable[..., Event], database: Connection
):
    """They share the reading of an event that is new to the instance. Of its two answers the first
    is late, and the second never comes."""
    service, new = instance.service, make_event()
    one(database, END_CONNECTIONS)
    eventually(lambda: read(service).status == 200)  # on one that has not prepared the other query
    with connected(service, token_for()) as socket, ThreadPoolExecutor() as threads:
        instance.postgres.delay_answer(b"PREPARE event_info", 5)
        joining = threads.submit(socket.ask, "join-queue", new.id)
        eventually(instance.postgres.delays)
        instance.postgres.hang()
        waiting = [
            threads.submit(
                timed, partial(service.post, f"/queue/check/{new.id}", token=token_for())
            )
            for _ in range(3)
        ]
        for future in waiting:
            answer, seconds = future.result()
            assert (refused(answer), seconds < PROMISED) == (True, True)
        assert joining.result()["code"] == "SERVICE_UNAVAILABLE"
