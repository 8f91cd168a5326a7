"""A deploy in the middle of a sale: three instances are replaced one after the other. Nothing is
lost or done twice, nobody loses a place in line, and every browser ends in its rooms."""

import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from functools import partial
from uuid import uuid4

import urllib3

from dev.processes import wait_for_end
from tests.support.balancer import Balancer
from tests.support.books import check_books
from tests.support.buyers import token_for
from tests.support.factories import one, section, ticket
from tests.support.service import Response

GRACE = 25.0
"""Seconds after SIGTERM in which an instance must be gone; Kubernetes kills it after 30."""

SETTINGS = {
    "DRAIN_SECONDS": "1",
    "MAX_LIVE_TICKETS_PER_BUYER": "1000000",
    "HOLDS_PER_PERSON": "",  # each buyer buys without a pause
}

BUYERS, WAITING, BROWSERS = 6, 8, 24


class Caller:
    """A person behind the balancer, who tries again when the connection breaks or a 503 says so."""

    def __init__(self, balancer, counts, token=None):
        self.token = token or token_for()
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", balancer.port, maxsize=1, timeout=10, retries=False
        )
        self._counts = counts

    def call(self, method, path, **options):
        """The answer to what may be sent again. Fails when none comes for a long time."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            self._counts["sent"] += 1
            try:
                got = self._pool.request(method, f"/api/v1{path}", headers=headers, **options)
            except urllib3.exceptions.HTTPError:
                self._counts["broken"] += 1
                time.sleep(0.05)
                continue
            self._counts[f"answered {got.status}"] += 1
            if got.status != 503:
                return Response(got.status, got.headers, got.data)
            time.sleep(0.05)
        raise AssertionError("nobody answers")

    def close(self):
        self._pool.close()


class Callers:
    """People behind one balancer; `counts` says how often they met what."""

    def __init__(self, balancer):
        self.counts: Counter[str] = Counter()
        self._balancer = balancer
        self._callers: list[Caller] = []

    def new(self, token=None):
        caller = Caller(self._balancer, self.counts, token)
        self._callers.append(caller)
        return caller

    def close(self):
        for caller in self._callers:
            caller.close()


def buy(caller, event, bought, over):
    """Hold one ticket after the other, and give every second one back; `bought` gets the keys and
    what was answered to each."""
    number = 0
    while not over.is_set():
        key = str(uuid4())
        items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
        body = {"eventId": event.id, "items": items}
        answer = caller.call("POST", "/reservations", json=body, headers={"Idempotency-Key": key})
        assert answer.status == 201, answer.body
        made = answer.json()["reservation"]["id"]
        bought[key] = made
        number += 1
        if number % 2:
            again = caller.call("POST", f"/reservations/{made}/cancel")
            assert again.status in (200, 409), again.body  # 409: it was done, the answer lost
        time.sleep(0.05)


def wait_in_line(caller, event, places, over):
    while not over.is_set():
        answer = caller.call("GET", f"/queue/status/{event.id}")
        assert answer.status == 200, answer.body
        places.append(answer.json()["position"])
        time.sleep(0.2)


@contextmanager
def at_work(works):
    """Each of these goes on in a thread of its own until the block ends; then none has failed."""
    over, errors = threading.Event(), []

    def run(work):
        try:
            work(over)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []


def stand_in_line(callers, event):
    """One is inside the event's waiting room, and these wait."""
    admin = callers.new(token_for(role="admin"))
    settings = {"threshold": 1}
    assert admin.call("PUT", f"/queue/admin/{event.id}", json=settings).status == 200
    inside = callers.new()
    assert inside.call("POST", f"/queue/check/{event.id}").json()["status"] == "active"
    line = [callers.new() for _ in range(WAITING)]
    for position, caller in enumerate(line, start=1):
        place = caller.call("POST", f"/queue/check/{event.id}").json()
        assert place["position"] == position
    return line


def test_a_rolling_restart_loses_nothing(browser, start_service, make_event, database):
    sale = make_event(sections=[section(seats=20)], tickets=[ticket(total=10_000)])
    crowded = make_event(tickets=[ticket()])
    with closing(Balancer()) as balancer, closing(Callers(balancer)) as callers:
        balancer.services = [start_service(**SETTINGS) for _ in range(3)]
        wait_for(lambda: all(map(balancer.is_ready, balancer.services)))
        line = stand_in_line(callers, crowded)
        clients = [browser.connect(balancer.url) for _ in range(BROWSERS)]
        for client in clients:
            client.join("join-seat-selection", sale)
            client.join("join-event", sale)
        joined = [len(client.log) for client in clients]
        bought: list[dict[str, str]] = [{} for _ in range(BUYERS)]
        places: list[list[int]] = [[] for _ in line]
        buyers = [partial(buy, callers.new(), sale, keys) for keys in bought]
        waiters = [
            partial(wait_in_line, caller, crowded, seen)
            for caller, seen in zip(line, places, strict=True)
        ]
        with at_work(buyers + waiters):
            times = [replace(balancer, old, start_service) for old in balancer.services[:]]
        assert max(times) < GRACE
        check_books(database, sale)
        check_bought_once(database, sale, bought)
        # The line stands as it stood.
        assert [set(seen) for seen in places] == [{position} for position in range(1, WAITING + 1)]
        assert all(len(seen) > 5 for seen in places)
        check_in_their_rooms(clients, joined, callers, sale)
        print(dict(callers.counts), "seconds to stop:", times)
        assert callers.counts["answered 500"] == 0


def check_bought_once(database, sale, bought):
    """Each key made one reservation, and each reservation has its key."""
    known = [made for keys in bought for made in keys.values()]
    made = one(database, f"SELECT count(*) FROM reservations WHERE event_id = '{sale.id}'")
    assert made == len(known) == len(set(known)) > 3 * BUYERS


def check_in_their_rooms(clients, joined, callers, sale):
    """Each browser has lost its connection at least once, and hears what happens."""
    for client, start in zip(clients, joined, strict=True):
        client.wait("session-restored", after=start)
    before = [len(client.log) for client in clients]
    body = {"eventId": sale.id, "seatIds": sale.seat_ids[:1]}
    late = callers.new()
    assert late.call("POST", "/seats/reserve", json=body).status == 201
    for client, start in zip(clients, before, strict=True):
        client.wait("seat-locked", after=start, seconds=5)
        client.wait("ticket-updated")
        client.close()


def replace(balancer, old, start_service):
    """Start a new instance, and then end an old one as Kubernetes does; how long that took."""
    new = start_service(**SETTINGS)
    balancer.services.append(new)
    wait_for(lambda: balancer.is_ready(new))
    started = time.monotonic()
    old.process.terminate()
    wait_for(lambda: not balancer.is_ready(old))
    assert wait_for_end(old.process, GRACE + 5)
    balancer.services.remove(old)
    return time.monotonic() - started


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_sockets_are_closed_over_a_while(browser, start_service):
    """Not all at one moment: their clients are about to connect somewhere else."""
    service = start_service(DRAIN_SECONDS="2")
    clients = [browser.connect(service.url, reconnection=False) for _ in range(20)]
    # gunicorn's master ends its worker; readiness fails first, while connections stay.
    service.process.terminate()
    wait_for(lambda: service.request("GET", "/health/ready").status == 503)
    failed = time.time()
    ends = sorted(client.wait("#disconnect").at for client in clients)
    assert ends[0] - failed > 1
    assert 1 < ends[-1] - ends[0] < 4
    # No more than a few in any tenth of the time.
    assert max(sum(start <= end < start + 0.2 for end in ends) for start in ends) <= 6
    assert wait_for_end(service.process, 10)


def test_clients_that_come_back_at_once_do_not_hold_up_a_stop(browser, start_service):
    service = start_service(DRAIN_SECONDS="0.2")
    clients = [
        browser.connect(service.url, reconnectionDelay=1, reconnectionDelayMax=20)
        for _ in range(10)
    ]
    started = time.monotonic()
    service.process.terminate()
    assert wait_for_end(service.process, GRACE)
    assert time.monotonic() - started < 10
    for client in clients:
        assert client.heard("#disconnect")
