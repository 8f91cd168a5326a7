"""What browsers are told over Socket.IO (docs/contract.md), with their own client."""

import json
import statistics
import time
from itertools import pairwise

from tests.support.buyers import token_for
from tests.support.factories import ticket
from tests.support.others import pay
from tests.support.socket_orders import cancel, check_payload, control, hold, hold_tickets, user_of
from tests.support.wire import is_korean

FAST = 0.2
"""Seconds in which a change must be heard, whichever instance it was made on."""

OTHERS = 2.0
"""Seconds in which another program's change must be heard."""


def test_a_hold_and_its_end_are_told_under_both_names(near, service, event):
    near.join("join-seat-selection", event)
    token = token_for()
    held = hold(service, event, [0, 1], token)
    for name in ("seat-locked", "seat-selected"):
        for seat_id in event.seat_ids[:2]:
            told = near.wait(name, lambda seat, id_=seat_id: seat["seatId"] == id_)
            check_payload(told.payload, eventId=event.id, seatId=seat_id, status="locked")
    cancel(service, held, token)
    for name in ("seat-released", "seats-released"):
        for seat_id in event.seat_ids[:2]:
            told = near.wait(name, lambda seat, id_=seat_id: seat["seatId"] == id_)
            check_payload(told.payload, eventId=event.id, seatId=seat_id, status="available")
    names = [heard.name for heard in near.heard() if heard.name.startswith("seat")]
    assert len(names) == 8
    shown = near.seats()
    assert (shown["seats"], shown["version"], shown["repeats"]) == ({}, "00000000", [])


def test_a_setting_turns_the_aliases_off(browser, start_service, event):
    service = start_service(SOCKET_ALIASES="false")
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    token = token_for()
    cancel(service, hold(service, event, [0], token), token)
    client.wait("seat-released")
    hold(service, event, [1])
    client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[1])
    assert client.heard("seat-selected", "seats-released") == []


def test_what_the_payment_service_and_the_monolith_write_is_told(near, service, event, database):
    """A hold of seats and tickets is paid, another one runs out."""
    near.join("join-seat-selection", event)
    near.join("join-event", event)
    paid, ended = hold(service, event, [0]), hold(service, event, [1])
    near.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[1])
    started = time.time()
    assert pay(database, paid)
    told = near.wait("seat-locked", lambda seat: seat["status"] == "reserved", seconds=5)
    check_payload(told.payload, eventId=event.id, seatId=event.seat_ids[0], status="reserved")
    assert told.at - started < OTHERS
    near.wait("seat-selected", lambda seat: seat["status"] == "reserved")
    started = time.time()
    with database.cursor() as cursor:
        cursor.execute("UPDATE seats SET status = 'available' WHERE id = %s", [event.seat_ids[1]])
        cursor.execute("UPDATE reservations SET status = 'cancelled' WHERE id = %s", [ended])
        cursor.execute(
            "UPDATE ticket_types SET available_quantity = 7 WHERE id = %s",
            [event.ticket_type_ids[0]],
        )
    told = near.wait("seat-released", seconds=5)
    check_payload(told.payload, eventId=event.id, seatId=event.seat_ids[1], status="available")
    assert told.at - started < OTHERS
    told = near.wait("ticket-updated", lambda stock: stock["availableQuantity"] == 7, seconds=5)
    assert told.at - started < OTHERS


def test_ticket_updated(near, service, event):
    near.join("join-event", event)
    stock = {"eventId": event.id, "ticketTypeId": event.ticket_type_ids[0], "totalQuantity": 50}
    token = token_for()
    held = hold_tickets(service, event, 3, token)
    told = near.wait("ticket-updated").payload
    check_payload(told, **stock, availableQuantity=47)
    cancel(service, held, token)
    told = near.wait("ticket-updated", lambda told: told["availableQuantity"] == 50).payload
    check_payload(told, **stock, availableQuantity=50)


def test_a_change_on_one_instance_is_heard_on_the_other_at_once(near, service, event, make_event):
    """Half of all changes well within the time, so that a busy machine does not matter."""
    near.join("join-seat-selection", event)
    delays = []

    def heard(name, key, value):
        answered = time.time()
        delays.append(near.wait(name, lambda told: told[key] == value).at - answered)

    for seat_id in event.seat_ids[:7]:
        token = token_for()
        held = hold(service, event, [event.seat_ids.index(seat_id)], token)
        heard("seat-locked", "seatId", seat_id)
        cancel(service, held, token)
        heard("seat-released", "seatId", seat_id)
    assert statistics.median(delays) < FAST
    delays.clear()
    for _ in range(5):
        another = make_event(tickets=[ticket()])
        near.join("join-event", another)
        hold_tickets(service, another)
        heard("ticket-updated", "eventId", another.id)
        near.emit("leave-event", another.id)
    assert statistics.median(delays) < FAST


def test_queue_entry_allowed_reaches_only_the_admitted_persons_sockets(
    browser, service, other_service, event
):
    control(service, event, threshold=1)
    inside, first, second = token_for(), token_for(), token_for()
    service.post(f"/queue/check/{event.id}", token=inside)
    tabs = [browser.connect(one.url, first) for one in (service, other_service)]
    waits = browser.connect(other_service.url, second)
    for client in (*tabs, waits):
        client.join("join-queue", event)
    assert service.post(f"/queue/leave/{event.id}", token=inside).status == 200
    for tab in tabs:
        told = tab.wait("queue-entry-allowed")
        assert told.payload.keys() == {"eventId", "userId", "message"}
        assert (told.payload["eventId"], told.payload["userId"]) == (event.id, user_of(first))
        assert is_korean(told.payload["message"])
    assert service.get(f"/queue/status/{event.id}", token=first).json()["status"] == "active"
    waits.wait("queue-updated", lambda told: told["queueSize"] == 1)
    assert waits.heard("queue-entry-allowed") == []
    for client in (*tabs, waits):
        others = {user_of(inside), user_of(first), user_of(second)}
        others -= {user_of(second if client is waits else first)}
        text = json.dumps([heard.args for heard in client.heard()])
        assert not any(user_id in text for user_id in others)


def test_an_admission_is_heard_within_a_second(browser, service, other_service, event):
    """Half of them, so that a busy machine does not matter."""
    control(service, event, threshold=1)
    tokens = [token_for() for _ in range(6)]
    delays = []
    for token in tokens:
        service.post(f"/queue/check/{event.id}", token=token)
    for leaves, next_one in pairwise(tokens):
        client = browser.connect(other_service.url, next_one)
        client.join("join-queue", event)
        assert service.post(f"/queue/leave/{event.id}", token=leaves).status == 200
        left = time.time()
        delays.append(client.wait("queue-entry-allowed").at - left)
    assert statistics.median(delays) < 1


def test_queue_updated_and_queue_cleared(near, service, event):
    control(service, event, threshold=1)
    service.post(f"/queue/check/{event.id}", token=token_for())
    near.join("join-queue", event)
    told = near.wait("queue-updated", lambda told: told["queueSize"] == 1).payload
    check_payload(told, eventId=event.id, queueSize=1, currentUsers=1, threshold=1)
    service.post(f"/queue/admin/clear/{event.id}", token=token_for(role="admin"))
    told = near.wait("queue-cleared")
    assert told.payload == {"eventId": event.id, "message": told.payload["message"]}
    assert is_korean(told.payload["message"])
