"""Nothing is missed for good: reconnecting, versions, and a Redis that comes back."""

import json
import re
import time
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from dev.servers import valkey
from tests.support.buyers import token_for
from tests.support.catch_up import cancel, hold, hold_ticket, taken
from tests.support.factories import section, ticket
from tests.support.proxy import proxy
from tests.support.websocket import newcomer
from tests.support.wire import check_soon
from ticket_service.realtime.rooms import MAX_ROOMS
from ticket_service.stores.keys import session


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket(total=500)])


# --- Reconnecting ---


def join_and_choose(client, event):
    """Be in every room of the event, and choose two seats; their ids."""
    client.join("join-event", event)
    client.join("join-queue", event)
    client.join("join-seat-selection", event)
    chosen = event.seat_ids[2:4]
    client.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
    return chosen


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
        chosen = join_and_choose(client, event)
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
        browser.connect(service.url).join("join-event", event)
        client.wait("room-info", lambda told: told["userCount"] == 2, after=before)
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


def test_a_person_is_brought_back_to_the_latest_that_any_of_his_sockets_joined(
    browser, service, start_service, make_event, database
):
    """But not to what is gone, which keeps nobody from the rest."""
    first, second, gone = (make_event(tickets=[ticket()]) for _ in range(3))
    token = token_for()
    with proxy(("127.0.0.1", service.port)) as balancer:
        one = browser.connect(f"http://127.0.0.1:{balancer.port}", token)
        one.join("join-event", first)
        one.join("join-queue", gone)
        browser.connect(service.url, token).join("join-event", second)
        with database.cursor() as cursor:
            cursor.execute("DELETE FROM events WHERE id = %s", [gone.id])
        before = len(one.log)
        balancer.upstream = ("127.0.0.1", start_service().port)  # which never knew what is gone
        balancer.cut()
        told = one.wait("session-restored", after=before).payload
        assert (told["eventId"], told["queueEventId"]) == (second.id, None)
        before = len(one.log)
        hold_ticket(service, first)
        hold_ticket(service, second)
        one.wait("ticket-updated", lambda told: told["eventId"] == second.id, after=before)
        time.sleep(1.5)
        assert {told.payload["eventId"] for told in one.log[before:]} == {second.id}
        one.close()


@pytest.mark.parametrize("ends", ["close", "stay open"])
def test_a_page_that_is_loaded_anew_is_put_into_no_room(browser, service, make_event, ends):
    """Whatever earlier pages joined and did not leave: it joins what it shows."""
    events, token = [make_event(tickets=[ticket()]) for _ in range(3)], token_for()
    for event in events:
        page = browser.connect(service.url, token)
        page.join("join-event", event)
        page.join("join-queue", event)
        if ends == "close":
            page.close()
    fresh = browser.connect(service.url, token)
    for event in events:
        hold_ticket(service, event)
    time.sleep(2)
    assert {heard.name for heard in fresh.log} == {"#connect"}


def test_who_shows_the_pid_of_a_connection_follows_it(service, event):
    """As socket.io-client does by itself; ours is new each time, since nothing was replayed."""
    token = token_for()
    pids: list[bytes] = []
    for _ in range(2):
        with newcomer(service.port) as page:
            page.say(
                "40" + json.dumps({"token": token} | ({"pid": pids[0].decode()} if pids else {}))
            )
            accepted = page.read_until(rb'40\{"sid".*\}')
            pids += re.findall(rb'"pid":"(.+?)"', accepted)
            if len(pids) == 1:
                page.say('421["join-event",' + json.dumps(event.id) + "]")
                page.read_until(rb"431")
            else:
                assert b"session-restored" in accepted or page.read_until(b"session-restored")
    assert len(set(pids)) == 2


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
        check_caught_up(client, event, database)
        # And at once again, as before.
        sent = time.time()
        hold(near, event, 3, token_for())
        told = client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[3])
        assert told.at - sent < 1.5
        assert client.heard("#disconnect") == []
        near.kill()
        far.kill()


def check_caught_up(client, event, database):
    """The client has heard of each change once, and joining again would tell nothing more."""
    shown = client.seats()
    assert shown["repeats"] == []
    assert shown["seats"] == taken(database, event)
    again = client.join("join-seat-selection", event, version=shown["version"])
    assert "seats" not in again
