"""Many changes of the same seats at once: in the end all know the truth."""

import random
import time
from itertools import pairwise

import pytest

from tests.support.buyers import at_once, token_for
from tests.support.catch_up import cancel, hold, hold_ticket, taken
from tests.support.factories import section, ticket
from tests.support.wire import check_soon


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket(total=500)])


def test_after_a_storm_all_know_the_truth(browser, service, other_service, event, database):
    """Holds and cancellations of the same few seats on two instances; browsers on both."""
    instances = [service, other_service]
    clients = [browser.connect(instances[n % 2].url) for n in range(4)]
    for client in clients:
        client.join("join-seat-selection", event)
    wrong: list[str] = []

    def storm(number):
        chance, token, one = random.Random(number), token_for(), instances[number % 2]
        for _ in range(12):
            seat = chance.randrange(6)
            held = hold(one, event, seat, token)
            if held.status != 201:
                continue
            if chance.random() < 0.2:  # long enough for everyone to have heard of it
                time.sleep(0.5)
                seat_id = event.seat_ids[seat]
                wrong.extend(
                    seat_id for client in clients if last_told(client, seat_id) == "available"
                )
            cancel(one, held, token)
        hold(one, event, chance.randrange(20), token)

    at_once([lambda number=number: storm(number) for number in range(12)])
    truth = taken(database, event)
    assert truth
    for client in clients:
        check_soon(lambda client=client: client.seats()["seats"], truth, 3)
        shown = client.seats()
        assert shown["repeats"] == []
        answer = client.join("join-seat-selection", event, version=shown["version"])
        assert "seats" not in answer
    assert wrong == []


def last_told(client, seat_id):
    told = [
        seat["status"]
        for seat in client.payloads("seat-locked", "seat-released")
        if seat["seatId"] == seat_id
    ]
    return told[-1] if told else "available"


def test_a_seat_that_changes_hands_is_never_shown_as_free(browser, service, other_service, event):
    """One gives it back on one instance, the next takes it on the other at once; what they tell
    may arrive the wrong way round, and must not stay so."""
    client = browser.connect(other_service.url)
    client.join("join-seat-selection", event)

    def rounds(seat):
        wrong = []
        instances = [service, other_service]
        token = token_for()
        held = hold(instances[0], event, seat, token)
        for number in range(8):
            giver, taker = instances[number % 2], instances[(number + 1) % 2]
            next_token = token_for()

            def take(taker=taker, next_token=next_token):
                deadline = time.monotonic() + 5
                while (got := hold(taker, event, seat, next_token)).status != 201:
                    assert time.monotonic() < deadline
                return got

            _, got = at_once([lambda g=giver, h=held, t=token: cancel(g, h, t), take])
            held, token = got, next_token
            time.sleep(0.4)
            wrong.append(last_told(client, event.seat_ids[seat]))
        return wrong

    shown = at_once([lambda seat=seat: rounds(seat) for seat in range(8)])
    assert {status for statuses in shown for status in statuses} == {"locked"}


def test_stock_is_told_once_a_second_at_most_and_in_the_end(browser, service, other_service, event):
    client = browser.connect(other_service.url)
    client.join("join-event", event)
    started = time.time()
    at_once([lambda n=n: hold_ticket((service, other_service)[n % 2], event) for n in range(110)])
    for _ in range(10):  # nor does whoever joins, and is answered with the stock, have it told
        hold_ticket(service, event)
        browser.connect(other_service.url).join("join-event", event)
    last = client.wait("ticket-updated", lambda told: told["availableQuantity"] == 380)
    time.sleep(1.2)
    told = client.heard("ticket-updated")
    assert told[-1] == last
    assert len(told) <= last.at - started + 2
    assert all(later.at - earlier.at > 0.7 for earlier, later in pairwise(told))
