"""A long silence: the listener has its time-outs, and clients still hear what comes after it."""

import time
from statistics import median

from tests.support.buyers import token_for
from tests.support.factories import section


def test_an_idle_listener_still_hears_after_half_a_minute(
    browser, service, other_service, make_event
):
    event = make_event(sections=[section()])
    clients = [
        browser.connect(other_service.url),
        browser.connect(other_service.url, transports=["polling"]),
    ]
    for client in clients:
        client.join("join-seat-selection", event)
    heard = [len(client.log) for client in clients]
    time.sleep(32)
    body = {"eventId": event.id, "seatIds": event.seat_ids[:1]}
    assert service.post("/seats/reserve", token=token_for(), json=body).status == 201
    answered = time.time()
    delays = []
    for client, before in zip(clients, heard, strict=True):
        delays.append(client.wait("seat-locked", after=before).at - answered)
        assert [told.name for told in client.log[before:]][:1] == ["seat-locked"]
    assert median(delays) < 1
    for one in (service, other_service):
        assert "not listening" not in [line["message"] for line in one.log_lines()]
