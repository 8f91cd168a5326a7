"""Socket.IO connections: which are opened, how, and when they end."""

import time
from contextlib import closing
from uuid import uuid4

import jwt
import pytest
import socketio

from tests.support.browser import WAIT
from tests.support.buyers import token_for
from tests.support.proxy import Affinity
from tests.support.socket_orders import check_payload, hold


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
