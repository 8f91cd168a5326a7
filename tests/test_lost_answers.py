"""The connection to PostgreSQL breaks when the answer comes: what was done is seen at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection
from redis import Redis

from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import address, refused, row_locked, through, wait_for_waiter
from tests.support.factories import Event, section, ticket
from tests.support.internal import TOKEN, tell_payment
from tests.support.proxy import Proxy, proxy
from tests.support.service import Response, Service, run_service
from ticket_service.stores import keys

database_url = own_database_url


database = balanced_database


@pytest.fixture(scope="module")
def shared_proxy(database_url: str) -> Iterator[Proxy]:
    with proxy(address(database_url)) as server:
        yield server


@pytest.fixture
def postgres(shared_proxy: Proxy) -> Iterator[Proxy]:
    yield shared_proxy
    shared_proxy.restore()


@pytest.fixture(scope="module")
def service(database_url: str, shared_proxy: Proxy, folder: Path) -> Iterator[Service]:
    with run_service(
        folder,
        DATABASE_URL=through(shared_proxy, database_url),
        DB_POOL_SIZE="1",
        INTERNAL_API_TOKEN=TOKEN,
    ) as instance:
        yield instance
        instance.kill()


@pytest.fixture(scope="module")
def other(database_url: str, folder: Path) -> Iterator[Service]:
    """An instance that keeps answers, and whose network is well."""
    with run_service(folder, DATABASE_URL=database_url) as instance:
        yield instance
        instance.kill()


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


def buy(service: Service, event: Event, token: str, seat: int) -> str:
    """Hold this seat; the reservation's id."""
    order = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    answer = service.post("/seats/reserve", token=token, json=order)
    assert answer.status == 201, answer.body
    return str(answer.json()["reservation"]["id"])


def seats(service: Service, event: Event) -> list[str]:
    """The first two seats' status, as everybody sees them."""
    shown = service.get(f"/seats/events/{event.id}").json()["seats"]
    return [seat["status"] for seat in shown][:2]


def cancel(service: Service, held: str, token: str) -> Response:
    return service.post(f"/reservations/{held}/cancel", token=token)


def pay(service: Service, held: str, token: str) -> Response:
    return tell_payment(service, held)


CHANGES = {"cancellation": (cancel, "available"), "payment": (pay, "reserved")}


@pytest.mark.parametrize("change", CHANGES)
def test_kept_answers_are_stale_after_a_lost_answer(
    service: Service,
    other: Service,
    postgres: Proxy,
    event: Event,
    database: Connection,
    redis: Redis,
    change: str,
):
    make, becomes = CHANGES[change]
    token = token_for()
    held = buy(service, event, token, 0)
    assert seats(other, event) == ["locked", "available"]
    version = redis.get(keys.version(event.id))
    assert version is not None
    with ThreadPoolExecutor() as threads:
        with row_locked(database, "seats", event.seat_ids[0]):
            changing = threads.submit(make, service, held, token)
            wait_for_waiter(database)
            postgres.lose_answers()
        assert refused(changing.result())
    assert seats(other, event) == [becomes, "available"]
    assert redis.get(keys.version(event.id)) != version


@pytest.mark.parametrize("change", CHANGES)
def test_a_refusal_leaves_kept_answers_as_they_are(
    service: Service, event: Event, redis: Redis, change: str
):
    """Cancelled twice, or paid twice."""
    make, becomes = CHANGES[change]
    token = token_for()
    held = buy(service, event, token, 0)
    assert make(service, held, token).status == 200
    assert seats(service, event) == [becomes, "available"]
    version = redis.get(keys.version(event.id))
    assert make(service, held, token).status == 409
    assert redis.get(keys.version(event.id)) == version
