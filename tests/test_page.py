"""The front end of today, in front of two instances: it buys, waits in line and sees others."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection

from dev.servers import Servers
from tests.support import others
from tests.support.balancer import Balancer
from tests.support.buyers import token_for
from tests.support.factories import Event, section
from tests.support.internal import TOKEN, tell_payment
from tests.support.page import ORIGIN, Pages, Window, run_pages
from tests.support.payments import MakeEvent
from tests.support.service import Service, run_services
from tests.support.visitors import Visitor, run_queue
from tests.support.wire import check_soon

Pay = Callable[[Service, Connection, str], object]


@pytest.fixture(scope="module")
def instances(servers: Servers, folder: Path) -> Iterator[list[Service]]:
    with run_services(folder, 2, SOCKET_IO_CORS_ORIGIN=ORIGIN, INTERNAL_API_TOKEN=TOKEN) as started:
        yield started


@pytest.fixture(scope="module")
def shop(instances: list[Service]) -> Iterator[str]:
    """The address that leads every connection to the next instance."""
    with closing(Balancer()) as balancer:
        balancer.services = instances
        check_soon(lambda: all(map(balancer.is_ready, instances)), True, seconds=10)
        yield balancer.url


@pytest.fixture
def pages(shop: str, folder: Path) -> Iterator[Pages]:
    with run_pages(shop, folder) as made:
        yield made


@pytest.fixture
def service(instances: list[Service]) -> Service:
    return instances[0]


@pytest.fixture
def event(make_event: MakeEvent) -> Event:
    return make_event(sections=[section(seats=5)])


def tell(service: Service, _: Connection, reservation_id: str) -> None:
    assert tell_payment(service, reservation_id).status == 200


def write(_: Service, database: Connection, reservation_id: str) -> None:
    assert others.pay(database, reservation_id)


@pytest.mark.parametrize("pay", [tell, write])
def test_a_seat_is_bought_and_the_next_in_line_comes_in(
    pages: Pages, service: Service, database: Connection, event: Event, pay: Pay
):
    run_queue(service, event.id, threshold=1)
    buyer = pages.window(token_for())
    [card] = buyer.do("load", "list", event.title)["cards"]
    assert card["price"] == "50000원"
    assert buyer.do("click", card["id"])["waiting"] is None
    buyer.do("chooseSeats")
    waiting = Visitor(service, event.id)
    assert waiting.check()["position"] == 1

    hold_seat(buyer, "VIP-1-1")
    held = buyer.shows
    assert (held["screen"], held["state"]) == ("reservation", "pending pending")
    assert held["lines"] == ["VIP-1-1"]
    assert 0 < held["secondsLeft"] <= 300

    pay(service, database, held["id"])
    paid = buyer.do("load", "success", held["id"])
    assert paid["state"] == "confirmed completed"
    check_soon(waiting.stands, ("active", 0), seconds=5)
    [row] = buyer.do("load", "mine")["rows"]
    assert row == {"id": held["id"], "state": "confirmed completed", "lines": ["VIP-1-1 1매"]}


def hold_seat(window: Window, label: str) -> None:
    window.wait(lambda shown: shown["live"])
    window.do("choose", label)
    assert window.do("hold")["alert"] is None
