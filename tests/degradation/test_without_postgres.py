"""What happens when PostgreSQL fails, or is slow, or locked."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from dev.servers import postgres
from tests.support.buyers import at_once, token_for
from tests.support.degradation import (
    END_CONNECTIONS,
    POOL_SIZE,
    Instance,
    address,
    behind_proxies,
    buy_seat,
    buy_ticket,
    check_health_is_quick,
    eventually,
    held_up,
    read,
    refused,
    row_locked,
    sold,
    subfolder,
    timed,
    wait_for_waiter,
)
from tests.support.factories import Event, one
from tests.support.service import Response, Service
from tests.support.visitors import arrive, run_queue
from ticket_service.stores import schema
from ticket_service.stores.postgres import (
    CHECKOUT_TIMEOUT,
    LOCK_TIMEOUT_MS,
    MAX_STATEMENTS,
    STATEMENT_TIMEOUT_MS,
)


def requests(event: Event) -> dict[str, tuple[str, str, object]]:
    """A request to every route that needs PostgreSQL."""
    nobody, ticket_type = uuid4(), event.ticket_type_ids[0]
    seats = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    tickets = {"eventId": event.id, "items": [{"ticketTypeId": ticket_type, "quantity": 1}]}
    return {
        "events": ("GET", f"/events?q={nobody}", None),
        "event": ("GET", f"/events/{event.id}", None),
        "ticket types": ("GET", f"/tickets/event/{event.id}", None),
        "availability": ("GET", f"/tickets/availability/{ticket_type}", None),
        "layouts": ("GET", "/seats/layouts", None),
        "seat map": ("GET", f"/seats/events/{event.id}", None),
        "hold seats": ("POST", "/seats/reserve", seats),
        "seats of a reservation": ("GET", f"/seats/reservation/{nobody}", None),
        "hold tickets": ("POST", "/reservations", tickets),
        "my reservations": ("GET", "/reservations/my", None),
        "reservation": ("GET", f"/reservations/{nobody}", None),
        "cancel": ("POST", f"/reservations/{nobody}/cancel", None),
    }


def send(service: Service, request: tuple[str, str, object]) -> tuple[Response, float]:
    method, path, body = request
    path = f"/api/v1{path}"
    return timed(partial(service.request, method, path, token=token_for(), json=body))


def test_refused_by_postgresql_every_answer_is_a_503_at_once(instance: Instance, event: Event):
    service, asked = instance.service, requests(event)
    instance.postgres.refuse()
    eventually(lambda: refused(send(service, asked["layouts"])[0]))  # kept for a moment
    for name, request in asked.items():
        answer, seconds = send(service, request)
        assert (name, refused(answer), seconds < 1) == (name, True, True)
    assert instance.state() == (503, "unavailable")
    for path in ("/health", "/health/live"):
        assert service.request("GET", path).status == 200

    instance.postgres.restore()
    statuses = {name: send(service, request)[0].status for name, request in asked.items()}
    assert {name: status for name, status in statuses.items() if status >= 500} == {}


def test_without_postgresql_the_line_goes_on_for_every_event_that_is_known(
    instance: Instance, make_event: Callable[..., Event]
):
    service, known, unknown = instance.service, make_event(), make_event()
    run_queue(service, known.id, threshold=1)
    inside, waiting = arrive(service, known.id, 2)
    instance.postgres.refuse()
    inside.leave()
    eventually(lambda: waiting.stands() == ("active", 0))
    assert arrive(service, known.id, 1)[0].stands() == ("queued", 1)
    assert refused(service.post(f"/queue/check/{unknown.id}", token=token_for()))


def test_a_failure_is_logged_under_the_id_of_its_request(instance: Instance):
    request_id = uuid4().hex
    instance.postgres.refuse()
    headers = {"X-Request-ID": request_id}
    assert refused(instance.service.get("/reservations/my", token=token_for(), headers=headers))
    lines = [line for line in instance.service.log_lines() if line.get("request_id") == request_id]
    assert "postgres refused" in [line["message"] for line in lines]


def test_a_hanging_postgresql_hangs_nothing_else_and_nobody_for_long(
    instance: Instance, event: Event
):
    """Who has one of the connections waits for it; the rest is refused sooner, not piled up."""
    service, asked = instance.service, requests(event)
    at_once([partial(read, service)] * 3)
    service.get(f"/queue/status/{event.id}", token=token_for())  # the event is known from here on
    instance.postgres.hang()
    del asked["layouts"]  # kept for a moment
    several = [*asked.values(), *[asked["my reservations"]] * 20]
    with ThreadPoolExecutor(len(several) + 1) as threads:
        waiting = [(request, threads.submit(send, service, request)) for request in several]
        ready = threads.submit(service.request, "GET", "/health/ready")
        check_health_is_quick(service)
        assert not any(future.done() for _, future in waiting)
    for request, future in waiting:
        assert (request, refused(future.result()[0])) == (request, True)
    times = sorted(future.result()[1] for _, future in waiting)
    assert times[-POOL_SIZE - 1] < CHECKOUT_TIMEOUT + 1
    assert times[-1] < CHECKOUT_TIMEOUT + MAX_STATEMENTS * STATEMENT_TIMEOUT_MS / 1000 + 2
    assert ready.result().status == 503

    instance.postgres.restore()
    assert {answer.status for answer in at_once([partial(read, service)] * 30)} == {200}


def test_a_restarted_postgresql_is_used_again(redis_url: str, folder: Path):
    data = subfolder(folder, "restarted-postgres")
    with ExitStack() as first_run:
        url = first_run.enter_context(postgres(data))
        schema.migrate(url, "public")
        with behind_proxies(url, redis_url, folder) as instance:
            again = partial(read, instance.service)
            assert {answer.status for answer in at_once([again] * 20)} == {200}
            first_run.close()
            assert refused(again())
            with postgres(data) as url:
                instance.postgres.upstream = address(url)
                eventually(lambda: again().status == 200)
                assert {answer.status for answer in at_once([again] * 20)} == {200}


def test_connections_that_ended_cost_a_handful_of_requests(
    instance: Instance, database: Connection
):
    at_once([partial(read, instance.service)] * 20)
    one(database, END_CONNECTIONS)
    answers = [read(instance.service) for _ in range(20)]
    lost = [answer for answer in answers if answer.status != 200]
    assert all(refused(answer) for answer in lost)
    assert len(lost) <= POOL_SIZE
    assert {answer.status for answer in answers[POOL_SIZE:]} == {200}


def test_a_connection_that_ends_during_a_request_changes_nothing(
    instance: Instance, event: Event, database: Connection
):
    with ThreadPoolExecutor() as threads, held_up(database):
        buying = threads.submit(buy_seat, instance.service, event)
        one(database, f"SELECT pg_terminate_backend({wait_for_waiter(database)})")
        assert refused(buying.result())
    assert sold(database, event) == (0, 0)
    assert buy_seat(instance.service, event).status == 201


def test_after_a_lost_answer_the_idempotency_key_finds_what_was_done(
    instance: Instance, event: Event, database: Connection
):
    key = {"Idempotency-Key": str(uuid4())}
    buy = partial(buy_seat, instance.service, event, token=token_for(), headers=key)
    assert buy_seat(instance.service, event, 1).status == 201  # the next one has no preparations
    # Only this answer: with the connection of a loop, the instance would give up all others.
    instance.postgres.lose_answer(event.seat_ids[0].encode())
    assert refused(buy())
    instance.postgres.restore()
    assert sold(database, event) == (2, 2)
    assert buy().status == 201
    assert sold(database, event) == (2, 2)


def test_a_seat_that_another_program_is_changing_is_a_conflict_at_once(
    instance: Instance, event: Event, database: Connection
):
    with row_locked(database, "seats", event.seat_ids[0]):
        answer, seconds = timed(partial(buy_seat, instance.service, event))
    assert (answer.status, answer.json()["code"]) == (409, "SEAT_LOCKED")
    assert seconds < LOCK_TIMEOUT_MS / 1000
    assert sold(database, event) == (0, 0)
    assert buy_seat(instance.service, event).status == 201


def test_a_locked_ticket_type_is_a_503_after_the_lock_timeout(
    instance: Instance, event: Event, database: Connection
):
    with row_locked(database, "ticket_types", event.ticket_type_ids[0]):
        answer, seconds = timed(partial(buy_ticket, instance.service, event))
    assert refused(answer)
    assert seconds < LOCK_TIMEOUT_MS / 1000 + 1
    assert sold(database, event) == (0, 0)
    assert buy_ticket(instance.service, event).status == 201


def test_a_locked_table_leaves_new_connections_usable(
    instance: Instance, event: Event, database: Connection
):
    """As another program's migration locks it, while connections prepare their statements."""
    one(database, END_CONNECTIONS)
    eventually(lambda: read(instance.service).status == 200)
    buy = [partial(buy_seat, instance.service, event), partial(buy_ticket, instance.service, event)]
    with closing(psycopg2.connect(database.dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE reservation_items IN ACCESS EXCLUSIVE MODE")
        seat, ticket = at_once(buy)
        assert (seat.json()["code"], refused(ticket)) == ("SEAT_LOCKED", True)
    assert sold(database, event) == (0, 0)
    assert [answer.status for answer in at_once(buy)] == [201, 201]
