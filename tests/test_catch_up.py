"""Nothing is missed for good: reconnecting, versions, storms, and a Redis that comes back."""

import random
import time
from contextlib import ExitStack
from itertools import pairwise
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from dev.servers import valkey
from tests.support.buyers import at_once, token_for
from tests.support.factories import section, ticket
from tests.support.proxy import proxy
from tests.support.wire import check_soon
from ticket_service.realtime.rooms import MAX_ROOMS
from ticket_service.stores.keys import session


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket(total=500)])


def hold(service, event, seat, token):
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    return service.post("/seats/reserve", token=token, json=body)


def hold_ticket(service, event):
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    body = {"eventId": event.id, "items": items}
    assert service.post("/reservations", token=token_for(), json=body).status == 201


def cancel(service, held, token):
    made = held.json()["reservation"]["id"]
    assert service.post(f"/reservations/{made}/cancel", token=token).status == 200


def taken(database, event):
    """The seats that are not available, as the database has them."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, status FROM seats WHERE event_id = %s AND status <> 'available'",
            [event.id],
        )
        return dict(cursor.fetchall())


# --- Reconnecting ---


def test_a_socket_that_reconnects_elsewhere_is_in_its_rooms_again(
    browser, service, start_service, event, make_event
):
    """On an instance where nobody was in these rooms, it hears what changes from that moment."""
    last = make_event(tickets=[ticket()])
    fresh = start_service()
    token = token_for()
    with proxy(("127.0.0.1", service.port)) as balancer:
        client = browser.connect(f"http://127.0.0.1:{balancer.port}", token)
        client.join("join-event", last)
        client.join("join-event", event)
        client.join("join-queue", event)
        client.join("join-seat-selection", event)
        chosen = event.seat_ids[2:4]
        client.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
        assert client.heard("session-restored") == []
        before = len(client.log)
        balancer.upstream = ("127.0.0.1", fresh.port)
        balancer.cut()
        told = client.wait("session-restored", after=before)
        assert told.args == [
            {
                "eventId": event.id,
                "queueEventId": event.id,
                "seatEventId": event.id,
                "selectedSeats": chosen,
            }
        ]
        assert hold(service, event, 0, token_for()).status == 201
        hold_ticket(service, event)
        client.wait("seat-locked", after=before, seconds=3)
        client.wait("ticket-updated", after=before, seconds=3)
        client.wait("room-info", lambda told: told["eventId"] == last.id, after=before)
        service.post(f"/queue/admin/clear/{event.id}", token=token_for(role="admin"))
        client.wait("queue-cleared", after=before)
        # What it leaves, it is not brought back to.
        for name in ("leave-event", "leave-queue"):
            assert client.emit(name, event.id) == {"success": True}
        before = len(client.log)
        client.drop()
        told = client.wait("session-restored", after=before).payload
        assert (told["eventId"], told["queueEventId"]) == (last.id, None)
        client.close()


def test_a_person_is_brought_back_to_what_all_his_sockets_joined(
    browser, service, start_service, make_event, database
):
    """But not to what is gone, which keeps nobody from the rest."""
    first, second, gone = (make_event(tickets=[ticket()]) for _ in range(3))
    token = token_for()
    one = browser.connect(service.url, token)
    for event in (gone, first):
        one.join("join-event", event)
    one.join("join-queue", gone)
    other = browser.connect(service.url, token)
    other.join("join-event", second)
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM events WHERE id = %s", [gone.id])
    back = browser.connect(start_service().url, token)  # which never knew what is gone
    assert back.wait("session-restored").payload["eventId"] == second.id
    hold_ticket(service, first)
    back.wait("ticket-updated", lambda told: told["eventId"] == first.id)


def test_a_session_lasts_an_hour_from_the_last_socket(browser, service, event, redis):
    user_id = str(uuid4())
    client = browser.connect(service.url, token_for(user_id))
    client.join("join-event", event)
    kept = session(user_id)[0]
    redis.expire(kept, 100)
    client.close()
    check_soon(lambda: redis.ttl(kept) > 3_500, True)


def test_who_looks_at_many_events_stays_with_the_last_ones(browser, service, make_event):
    """There is no way to leave the seats of an event but to look at those of others."""
    events = [make_event(sections=[section()]) for _ in range(MAX_ROOMS + 2)]
    client = browser.connect(service.url)
    for event in events:
        client.join("join-seat-selection", event)
    token = token_for()
    hold(service, events[0], 0, token)
    hold(service, events[-1], 0, token)
    told = client.wait("seat-locked").payload
    assert told["eventId"] == events[-1].id
    time.sleep(0.5)
    assert {told["eventId"] for told in client.payloads("seat-locked")} == {events[-1].id}


def test_nobody_else_gets_the_rooms(browser, service, event):
    browser.connect(service.url).join("join-event", event)
    another = browser.connect(service.url)
    another.join("join-seat-selection", event)
    assert another.heard("session-restored") == []


def test_a_version_that_is_still_right_is_answered_without_seats(browser, service, event):
    client = browser.connect(service.url)
    hold(service, event, 3, token_for())
    version = client.join("join-seat-selection", event)["version"]
    same = client.join("join-seat-selection", event, version=version)
    assert same.keys() == {"success", "eventId", "version", "timestamp"}
    assert same["version"] == version
    for wrong in ("00000000", "", "x", None):
        assert len(client.join("join-seat-selection", event, version=wrong)["seats"]) == 1
    hold(service, event, 4, token_for())
    answer = client.join("join-seat-selection", event, version=version)
    assert answer["version"] != version
    assert len(answer["seats"]) == 2
    assert client.seats()["version"] == answer["version"]


# --- Storms ---


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


# --- Redis ---


def test_after_a_restart_of_redis_clients_hear_and_catch_up(
    browser, start_service, event, folder, database
):
    """What changes meanwhile is told late; what was missed, joining again tells."""
    with ExitStack() as first, ExitStack() as stack:
        home = folder / f"valkey-{uuid4()}"
        home.mkdir()
        url = urlsplit(first.enter_context(valkey(home)))
        redis = stack.enter_context(proxy(("127.0.0.1", int(url.port or 0))))
        near, far = [start_service(REDIS_URL=f"redis://127.0.0.1:{redis.port}/0") for _ in range(2)]
        client = browser.connect(far.url)
        client.join("join-seat-selection", event)
        client.join("join-event", event)
        token = token_for()
        held = hold(near, event, 0, token)
        client.wait("seat-locked")
        first.close()
        redis.cut()
        check_soon(lambda: hold(near, event, 1, token_for()).status, 201, 15)  # an outage by then
        cancel(near, held, token)
        url = urlsplit(stack.enter_context(valkey(home)))
        redis.upstream = ("127.0.0.1", int(url.port or 0))
        restarted = time.time()
        truth = {event.seat_ids[1]: "locked"}
        check_soon(lambda: client.seats()["seats"], truth, 6)
        assert hold(near, event, 2, token_for()).status == 201
        told = client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[2])
        assert told.at - restarted < 8
        hold_ticket(near, event)
        client.wait("ticket-updated", seconds=5)
        shown = client.seats()
        assert shown["repeats"] == []
        assert shown["seats"] == taken(database, event)
        again = client.join("join-seat-selection", event, version=shown["version"])
        assert "seats" not in again
        # And at once again, as before.
        sent = time.time()
        hold(near, event, 3, token_for())
        told = client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[3])
        assert told.at - sent < 1.5
        assert client.heard("#disconnect") == []
        near.kill()
        far.kill()
