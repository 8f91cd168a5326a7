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
from tests.support.factories import Event, MakeEvent, section, ticket
from tests.support.internal import TOKEN, tell_payment
from tests.support.page import ORIGIN, Pages, Window, run_pages
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


def test_tickets_are_held_and_their_time_runs_out(
    pages: Pages, database: Connection, make_event: MakeEvent
):
    event = make_event(tickets=[ticket("스탠딩")])
    buyer = pages.window(token_for())
    buyer.do("load", "detail", event.id)
    refused = buyer.do("buyTickets", 11)
    assert refused["screen"] == "detail"
    assert refused["alert"] == "티켓은 종류별로 한 번에 최대 10매까지 예매할 수 있습니다."

    held = buyer.do("buyTickets", 2)
    assert (held["screen"], held["state"]) == ("reservation", "pending pending")
    assert held["lines"] == ["스탠딩 2매"]
    others.end(database, held["id"])
    assert buyer.do("reload")["state"] == "cancelled failed"
    [row] = buyer.do("go", "mine")["rows"]
    assert row == {"id": held["id"], "state": "cancelled failed", "lines": ["스탠딩 2매"]}


def hold_seat(window: Window, label: str) -> None:
    window.wait(lambda shown: shown["live"])
    window.do("choose", label)
    assert window.do("hold")["alert"] is None


def test_whoever_waits_keeps_the_place_and_holds_a_seat_after_reloads(
    pages: Pages, service: Service, event: Event
):
    run_queue(service, event.id, threshold=1)
    inside, behind = Visitor(service, event.id), Visitor(service, event.id)
    inside.check()
    buyer = pages.window(token_for())
    assert buyer.do("load", "detail", event.id)["waiting"]["position"] == 1
    assert behind.check()["position"] == 2
    buyer.wait(lambda shown: shown["waiting"]["rounds"] >= 3)

    assert buyer.do("reload")["waiting"]["position"] == 1
    buyer.wait(lambda shown: shown["waiting"]["rounds"] >= 1)
    assert {shown["waiting"]["position"] for shown in buyer.history} == {1}
    assert behind.stands() == ("queued", 2)

    inside.leave()
    buyer.wait(lambda shown: shown["screen"] == "seats")
    assert behind.stands() == ("queued", 1)
    behind.leave()
    assert buyer.do("reload")["standing"] == "active"
    hold_seat(buyer, "VIP-1-2")
    assert buyer.shows["lines"] == ["VIP-1-2"]


def test_two_people_see_each_others_seats(pages: Pages, event: Event):
    first, second = pages.window(token_for()), pages.window(token_for())
    open_hall(event, first, second)
    for window in (first, second):
        window.wait(lambda shown: shown["people"] == 2)
    first.do("choose", "VIP-1-1")
    second.wait(lambda shown: shown["chosenByOthers"] == ["VIP-1-1"])
    assert first.shows["chosenByOthers"] == []

    second.do("choose", "VIP-1-1")
    first.wait(lambda shown: shown["chosenByOthers"] == ["VIP-1-1"])
    assert first.do("hold")["screen"] == "reservation"
    second.wait(lambda shown: (shown["seats"]["VIP-1-1"], shown["chosen"]) == ("locked", []))

    before = len(second.history)
    second.do("loseConnection")
    pages.wait_for(lambda: any(not shown["live"] for shown in second.history[before:]))
    second.wait(lambda shown: shown["live"])
    rows = first.do("cancel")["rows"]
    assert [row["state"] for row in rows] == ["cancelled failed"]
    second.wait(lambda shown: shown["seats"]["VIP-1-1"] == "available")
    hold_seat(second, "VIP-1-1")


def test_two_windows_of_one_person_do_not_stand_in_each_others_way(
    pages: Pages, service: Service, event: Event
):
    run_queue(service, event.id, threshold=1)
    token = token_for()
    first, second = pages.window(token), pages.window(token)
    open_hall(event, first, second)
    first.do("choose", "VIP-1-1")
    second.wait(lambda shown: shown["chosenByOthers"] == ["VIP-1-1"])
    assert first.do("reload")["standing"] == "active"
    hold_seat(first, "VIP-1-1")
    second.wait(lambda shown: shown["seats"]["VIP-1-1"] == "locked")
    second.wait(lambda shown: shown["people"] == 1)
    second.do("choose", "VIP-1-2")
    assert second.do("hold")["alert"] is None
    lines = [row["lines"] for row in second.do("go", "mine")["rows"]]
    assert lines == [["VIP-1-2 1매"], ["VIP-1-1 1매"]]


def open_hall(event: Event, *windows: Window) -> None:
    for window in windows:
        assert window.do("load", "detail", event.id)["waiting"] is None
        window.do("chooseSeats")
        window.wait(lambda shown: shown["live"])
