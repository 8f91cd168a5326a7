"""When another PostgreSQL takes over: the service goes on with the one that can be written to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import postgres
from tests.support.degradation import (
    address,
    buy_seat,
    buy_ticket,
    eventually,
    refused,
    sold,
    subfolder,
    timed,
)
from tests.support.factories import Event, make_event, one, section, ticket
from tests.support.proxy import Proxy, proxy
from tests.support.service import Response, Service
from ticket_service.stores import schema
from ticket_service.stores.database import CONNECT_TIMEOUT


@dataclass
class Server:
    """A PostgreSQL, an administrator's connection to it, and a way to it for the service."""

    url: str
    admin: Connection
    way: Proxy
    running: ExitStack = field(default_factory=ExitStack)

    def set_read_only(self, *, on: bool) -> None:
        """As an administrator demotes a server: no connection ends."""
        value = "on" if on else "off"
        with self.admin.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            cursor.execute("SELECT pg_reload_conf()")
        expected = partial(one, self.admin, "SHOW default_transaction_read_only")
        eventually(lambda: expected() == value)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        assert one(self.admin, "SELECT pg_promote()")


@pytest.fixture
def start_server(folder: Path) -> Iterator[Callable[..., Server]]:
    """Start PostgreSQL: empty, or as the standby of another."""
    with ExitStack() as stack:

        def start(primary: Server | None = None) -> Server:
            running = stack.enter_context(ExitStack())
            data = subfolder(folder, f"failover-{len(list(folder.glob('failover-*')))}")
            url = running.enter_context(postgres(data, primary=primary.url if primary else None))
            admin = running.enter_context(closing(psycopg2.connect(url)))
            admin.autocommit = True
            way = stack.enter_context(proxy(address(url)))
            return Server(url, admin, way, running)

        yield start


@pytest.fixture
def primary(start_server: Callable[..., Server]) -> Server:
    server = start_server()
    schema.migrate(server.url, "public")
    return server


@pytest.fixture
def event(primary: Server) -> Event:
    return make_event(primary.admin, sections=[section(seats=10)], tickets=[ticket()])


@pytest.fixture
def standby(start_server: Callable[..., Server], primary: Server, event: Event) -> Server:
    """It has the event, and follows the primary."""
    return start_server(primary)


def url_of(*ways: Proxy) -> str:
    hosts = ",".join(f"127.0.0.1:{way.port}" for way in ways)
    return f"postgresql://postgres@{hosts}/postgres"


def ready(service: Service) -> tuple[int, str]:
    answer = service.request("GET", "/health/ready")
    return answer.status, answer.json()["status"]


def taken(service: Service, event: Event) -> int:
    """How many seats are not available in the map that people see."""
    answer = service.get(f"/seats/events/{event.id}")
    seats = answer.json()["seats"] if answer.status == 200 else []
    return sum(seat["status"] != "available" for seat in seats)


def buys(buy: Callable[[], Response]) -> bool:
    """Whether something was bought; a refusal must be one that tells to try again."""
    answer = buy()
    assert answer.status == 201 or refused(answer), answer.body
    return answer.status == 201


@pytest.mark.parametrize("order", [1, -1], ids=["primary first", "standby first"])
def test_a_promoted_standby_is_sold_from_without_a_restart(
    primary: Server,
    standby: Server,
    event: Event,
    start_service: Callable[..., Service],
    order: int,
):
    service = start_service(DATABASE_URL=url_of(*[primary.way, standby.way][::order]))
    assert buy_seat(service, event, 0).status == 201
    assert buy_ticket(service, event).status == 201
    lsn = one(primary.admin, "SELECT pg_current_wal_lsn()")
    eventually(lambda: one(standby.admin, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn"))
    primary.running.close()
    assert refused(buy_seat(service, event, 1))
    assert ready(service) == (503, "unavailable")

    standby.promote()
    eventually(lambda: buys(partial(buy_seat, service, event, 1)))
    assert buys(partial(buy_ticket, service, event))
    eventually(lambda: ready(service) == (200, "ok"))
    assert sold(standby.admin, event) == (2, 4)
    assert taken(service, event) == 2


def test_nothing_stays_on_a_server_that_became_read_only(
    primary: Server, standby: Server, event: Event, start_service: Callable[..., Service]
):
    """Behind one address that leads to the new primary, as a Service or a virtual IP does: the old
    connections live on, and readers would never be told."""
    service = start_service(DATABASE_URL=url_of(primary.way))
    assert (buy_seat(service, event, 0).status, taken(service, event)) == (201, 1)
    lsn = one(primary.admin, "SELECT pg_current_wal_lsn()")
    eventually(lambda: one(standby.admin, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn"))
    standby.promote()
    primary.way.upstream = address(standby.url)
    primary.set_read_only(on=True)

    eventually(lambda: buys(partial(buy_seat, service, event, 1)))
    for seat in range(2, 10):  # every connection is to the new one
        assert buys(partial(buy_seat, service, event, seat))
    assert sold(standby.admin, event) == (10, 10)
    assert sold(primary.admin, event) == (1, 1)
    assert taken(service, event) == 10
    assert ready(service) == (200, "ok")


def test_an_instance_that_cannot_write_is_not_ready(
    primary: Server, event: Event, start_service: Callable[..., Service]
):
    service = start_service(DATABASE_URL=url_of(primary.way))
    assert ready(service) == (200, "ok")
    primary.set_read_only(on=True)
    for _ in range(2):
        answer = service.request("GET", "/health/ready")
        assert (answer.status, answer.json()["postgres"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert refused(buy_seat(service, event))
        assert refused(buy_ticket(service, event))
    assert sold(primary.admin, event) == (0, 0)

    primary.set_read_only(on=False)
    assert ready(service) == (200, "ok")
    assert buy_seat(service, event).status == 201


def test_a_host_that_never_answers_does_not_hide_the_next_one(
    primary: Server, event: Event, start_service: Callable[..., Service]
):
    with proxy(address(primary.url)) as other_way:
        service = start_service(DATABASE_URL=url_of(primary.way, other_way))
        assert buy_seat(service, event, 0).status == 201
        primary.way.hang()
        primary.way.cut()
        eventually(lambda: buys(partial(buy_seat, service, event, 1)))
        for seat in range(2, 6):  # and it is not tried again each time
            answer, seconds = timed(partial(buy_seat, service, event, seat))
            assert (answer.status, seconds < CONNECT_TIMEOUT / 2) == (201, True)
        service.kill()
