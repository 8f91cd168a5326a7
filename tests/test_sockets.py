"""Socket.IO, with the browsers' own client: what they send and hear (docs/contract.md), over two
instances. Browsers are on the second one, changes are made on the first."""

import json
import statistics
import time
from contextlib import closing
from itertools import pairwise
from uuid import uuid4

import jwt
import pytest
import socketio

from tests.support.browser import WAIT
from tests.support.buyers import token_for
from tests.support.factories import section, ticket
from tests.support.others import pay
from tests.support.proxy import Affinity
from tests.support.visitors import PLACE
from tests.support.wire import is_korean, is_time

FAST = 0.2
"""Seconds in which a change must be heard, whichever instance it was made on."""

OTHERS = 2.0
"""Seconds in which another program's change must be heard."""


@pytest.fixture
def near(browser, other_service):
    """A browser's socket on the second instance."""
    return browser.connect(other_service.url)


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket(total=50)])


def user_of(token):
    return jwt.decode(token, options={"verify_signature": False})["userId"]


def hold(service, event, seats, token=None):
    """Hold seats; the reservation's id."""
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat] for seat in seats]}
    answer = service.post("/seats/reserve", token=token or token_for(), json=body)
    assert answer.status == 201, answer.json()
    return answer.json()["reservation"]["id"]


def hold_tickets(service, event, quantity=1, token=None):
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": quantity}]
    body = {"eventId": event.id, "items": items}
    answer = service.post("/reservations", token=token or token_for(), json=body)
    assert answer.status == 201, answer.json()
    return answer.json()["reservation"]["id"]


def cancel(service, reservation_id, token):
    answer = service.post(f"/reservations/{reservation_id}/cancel", token=token)
    assert answer.status == 200, answer.json()


def control(service, event, **settings):
    token = token_for(role="admin")
    assert (
        service.request("PUT", f"/api/v1/queue/admin/{event.id}", token=token, json=settings).status
        == 200
    )


def check_payload(payload, **expected):
    """Exactly these keys, a timestamp among them."""
    assert payload == {**expected, "timestamp": payload.get("timestamp")}
    assert is_time(payload["timestamp"])


# --- What clients send ---


@pytest.mark.parametrize("bare", [False, True])
def test_join_event_answers_with_the_stock_and_the_room_is_told_how_many(near, event, bare):
    answer = near.emit("join-event", event.id if bare else {"eventId": event.id})
    stock = {
        "ticketTypeId": event.ticket_type_ids[0],
        "availableQuantity": 50,
        "totalQuantity": 50,
    }
    assert answer == {
        "success": True,
        "eventId": event.id,
        "userCount": 1,
        "ticketTypes": [stock],
    }
    assert near.wait("room-info").args == [{"eventId": event.id, "userCount": 1}]


def test_leave_event_ends_what_is_heard_and_the_others_are_told(
    browser, near, service, other_service, event
):
    stays = browser.connect(other_service.url)
    near.join("join-event", event)
    stays.join("join-event", event)
    stays.wait("room-info", lambda told: told["userCount"] == 2)
    assert near.emit("leave-event", {"eventId": event.id}) == {"success": True}
    stays.wait("room-info", lambda told: told["userCount"] == 1)
    before = len(near.log)
    hold_tickets(service, event)
    stays.wait("ticket-updated")
    assert near.log[before:] == []


def test_join_queue_is_queue_check_and_joins_the_room(near, browser, service, event):
    control(service, event, threshold=1)
    service.post(f"/queue/check/{event.id}", token=token_for())
    answer = near.emit("join-queue", event.id)
    same = service.post(f"/queue/check/{event.id}", token=token_for())
    assert answer.keys() == same.json().keys() | {"success"} == PLACE | {"success", "eventInfo"}
    assert (answer["status"], answer["position"], answer["queueSize"]) == ("queued", 1, 1)
    assert answer["eventInfo"] == {"title": event.title, "artist": "Artist"}
    near.wait("queue-updated", lambda told: told["queueSize"] == 2)


def test_leave_queue_gives_the_place_up_and_ends_what_is_heard(
    browser, near, service, other_service, event
):
    control(service, event, threshold=1)
    service.post(f"/queue/check/{event.id}", token=token_for())
    token = token_for()
    leaver = browser.connect(other_service.url, token)
    leaver.join("join-queue", event)
    near.join("join-queue", event)
    assert near.emit("join-queue", event.id)["position"] == 2
    assert leaver.emit("leave-queue", {"eventId": event.id}) == {"success": True}
    before = len(leaver.log)
    assert near.emit("join-queue", event.id)["position"] == 1
    status = service.get(f"/queue/status/{event.id}", token=token).json()["status"]
    assert status == "not_in_queue"
    service.post(f"/queue/admin/clear/{event.id}", token=token_for(role="admin"))
    near.wait("queue-cleared")
    assert leaver.log[before:] == []


def test_an_open_socket_keeps_the_place_in_line(browser, start_service, event):
    """One waits with an open tab that says nothing, one has gone: only the first keeps it."""
    service = start_service(QUEUE_TTL_SECONDS="2")
    control(service, event, threshold=1)
    inside, waits, went = token_for(), token_for(), token_for()
    browser.connect(service.url, inside).join("join-queue", event)
    service.post(f"/queue/check/{event.id}", token=went)
    tab = browser.connect(service.url, waits)
    assert tab.join("join-queue", event)["position"] == 2
    time.sleep(4)
    status = service.get(f"/queue/status/{event.id}", token=waits).json()
    assert (status["status"], status["position"]) == ("queued", 1)
    assert service.get(f"/queue/status/{event.id}", token=went).json()["status"] == "not_in_queue"


def test_join_seat_selection_answers_with_the_seats_that_are_not_available(
    near, service, event, database
):
    paid = hold(service, event, [1])
    assert pay(database, paid)
    hold(service, event, [0])
    answer = near.emit("join-seat-selection", {"eventId": event.id})
    assert answer.keys() == {"success", "eventId", "version", "timestamp", "seats"}
    assert (answer["success"], answer["eventId"]) == (True, event.id)
    assert is_time(answer["timestamp"])
    assert {seat["seatId"]: seat["status"] for seat in answer["seats"]} == {
        event.seat_ids[0]: "locked",
        event.seat_ids[1]: "reserved",
    }
    assert all(seat.keys() == {"seatId", "status"} for seat in answer["seats"])
    assert near.seats()["version"] == answer["version"] != "00000000"


def test_seat_selection_changed_reaches_the_others_and_never_the_sender(
    browser, service, near, event, make_event
):
    """Whoever chooses is the same stranger to all, another one in another event."""
    token = token_for()
    tabs = [browser.connect(service.url, token) for _ in range(2)]
    another = make_event(sections=[section()])
    for place in (event, another):
        for client in (near, *tabs):
            client.join("join-seat-selection", place)
    chosen = event.seat_ids[:2]
    assert tabs[0].emit("seat-selection-changed", {"eventId": event.id, "seats": chosen}) == {
        "success": True
    }
    first = near.wait("seat-update")
    assert first.payload.keys() == {"eventId", "holder", "seats"}
    assert (first.payload["eventId"], first.payload["seats"]) == (event.id, chosen)
    tabs[1].wait("seat-update")
    second = tabs[1].emit("seat-selection-changed", {"eventId": event.id, "seats": []})
    assert second == {"success": True}
    assert (
        near.wait("seat-update", lambda told: told["seats"] == []).payload["holder"]
        == (first.payload["holder"])
    )
    there, mine = another.seat_ids[:1], event.seat_ids[2:3]
    tabs[0].emit("seat-selection-changed", {"eventId": another.id, "seats": there})
    elsewhere = near.wait("seat-update", lambda told: told["eventId"] == another.id)
    assert elsewhere.payload["holder"] != first.payload["holder"]
    near.emit("seat-selection-changed", {"eventId": event.id, "seats": mine})
    theirs = tabs[0].wait("seat-update", lambda told: told["seats"] == mine).payload
    assert theirs["holder"] != first.payload["holder"]
    # tabs[0] heard the other tab, and the other person, but not itself.
    assert [told["seats"] for told in tabs[0].payloads("seat-update")] == [[], mine]
    assert user_of(token) not in json.dumps([heard.args for heard in near.heard()])


def test_only_who_chooses_seats_of_an_event_says_what_he_chooses(near, browser, service, event):
    watches = browser.connect(service.url)
    watches.join("join-seat-selection", event)
    chosen = event.seat_ids[:1]
    refused = near.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
    assert refused.keys() == {"success", "error", "message", "code"}
    assert (refused["success"], refused["code"]) == (False, "VALIDATION_ERROR")
    assert is_korean(refused["error"])
    near.join("join-seat-selection", event)
    chosen = event.seat_ids[1:2]
    near.emit("seat-selection-changed", {"eventId": event.id, "seats": chosen})
    watches.wait("seat-update")
    assert [told["seats"] for told in watches.payloads("seat-update")] == [chosen]


# --- What clients are told ---


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


# --- Connections ---


def outcome(client):
    """What became of the attempt to connect."""
    client._browser.wait_for(lambda: client.heard("#connect", "#connect_error"))
    return client.heard("#connect", "#connect_error")[0]


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "AUTHENTICATION_REQUIRED"),
        ({}, "AUTHENTICATION_REQUIRED"),
        ({"token": None}, "AUTHENTICATION_REQUIRED"),
        ({"token": ["a"]}, "AUTHENTICATION_REQUIRED"),
        ({"token": "no.such.token"}, "INVALID_TOKEN"),
        ({"token": jwt.encode({"userId": str(uuid4())}, "x" * 40)}, "INVALID_TOKEN"),
        ({"token": "expired"}, "TOKEN_EXPIRED"),
    ],
)
def test_a_connection_without_a_valid_token_is_refused(browser, other_service, auth, code):
    if auth and auth.get("token") == "expired":
        auth = {"token": token_for(exp=int(time.time()) - 60)}
    heard = outcome(browser.client(other_service.url, auth=auth, reconnection=False))
    message, data = heard.args
    assert heard.name == "#connect_error"
    assert "authentication" in message
    assert data["code"] == code


def test_a_socket_ends_with_its_token(browser, near, other_service, event, service):
    """It hears until then, and may not come back with the same token."""
    short = browser.connect(other_service.url, token_for(exp=int(time.time()) + 3))
    short.join("join-seat-selection", event)
    near.join("join-seat-selection", event)
    hold(service, event, [0])
    short.wait("seat-locked")
    assert short.wait("#disconnect").args == ["io server disconnect"]
    before = len(short.log)
    hold(service, event, [1])
    near.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[1])
    assert short.log[before:] == []
    assert not near.heard("#disconnect")


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_only_allowed_origins_connect(browser, start_service, transport):
    service = start_service(FRONTEND_URL="https://one.example, https://two.example/")
    for origin, fine in (
        ("https://one.example", True),
        ("https://two.example", True),
        ("https://evil.example", False),
        ("https://one.example.evil.example", False),
        ("http://localhost:3000", False),
        (service.url, True),
        (None, True),  # not a browser
    ):
        headers = {"Origin": origin} if origin else {}
        client = browser.client(
            service.url, transports=[transport], extraHeaders=headers, reconnection=False
        )
        assert outcome(client).name == ("#connect" if fine else "#connect_error"), origin


def test_a_refused_origin_reads_no_answer_and_an_allowed_one_may(other_service):
    path = "/socket.io/?EIO=4&transport=polling"
    fine = other_service.request("GET", path, headers={"Origin": "http://localhost:3000"})
    assert fine.status == 200
    assert fine.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert fine.headers["Access-Control-Allow-Credentials"] == "true"
    refused = other_service.request("GET", path, headers={"Origin": "https://evil.example"})
    assert refused.status == 400
    assert "Access-Control-Allow-Origin" not in refused.headers


def polite(service, event, client):
    """The client hears a change, and is answered."""
    client.join("join-seat-selection", event)
    client.join("join-event", event)
    hold(service, event, [0])
    hold_tickets(service, event)
    for name in ("seat-locked", "seat-selected", "ticket-updated", "room-info"):
        client.wait(name)


def test_polling_through_a_proxy_with_affinity(browser, service, other_service, event):
    """Clients that never upgrade, and those that do, each on whatever instance it was led to."""
    ports = [("127.0.0.1", one.port) for one in (service, other_service)]
    with closing(Affinity(ports)) as proxy:
        clients = [
            browser.connect(
                f"http://127.0.0.1:{proxy.port}",
                transports=transports,
                extraHeaders={"X-Client": f"{number}"},
            )
            for number in range(2)
            for transports in (["polling"],)
        ]
        upgrading = [
            browser.connect(
                f"http://127.0.0.1:{proxy.port}",
                transports=["polling", "websocket"],
                extraHeaders={"X-Client": f"{number}"},
            )
            for number in range(2)
        ]
        assert set(proxy.clients.values()) == set(ports)
        for client in clients:
            assert client.wait("#connect").args[1] == "polling"
        for client in upgrading:
            assert client.wait("#upgrade").args == ["websocket"]
        for client in (*clients, *upgrading):
            client.join("join-seat-selection", event)
        hold(service, event, [0])
        hold(other_service, event, [1])
        for client in (*clients, *upgrading):
            for seat_id in event.seat_ids[:2]:
                client.wait("seat-locked", lambda seat, id_=seat_id: seat["seatId"] == id_)
            assert client.seats()["repeats"] == []
        for client in (*clients, *upgrading):
            client.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_python_client(service, other_service, event, transport):
    heard = []
    with socketio.SimpleClient() as client:
        client.connect(other_service.url, auth={"token": token_for()}, transports=[transport])
        answer = client.call("join-seat-selection", {"eventId": event.id}, timeout=WAIT)
        assert (answer["success"], answer["seats"]) == (True, [])
        hold(service, event, [0])
        heard = [client.receive(timeout=WAIT) for _ in range(2)]
        assert {name for name, _ in heard} == {"seat-locked", "seat-selected"}
        check_payload(heard[0][1], eventId=event.id, seatId=event.seat_ids[0], status="locked")
        client.emit("join-event", event.id)
        assert client.receive(timeout=WAIT)[0] == "room-info"
