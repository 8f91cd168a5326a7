"""What the tests of this folder share: browsers, and a well-behaved client that must not suffer."""

import pytest

from tests.support.browser import run_browser
from tests.support.buyers import token_for
from tests.support.factories import section, ticket
from tests.support.misuse import troubles


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket()])


@pytest.fixture(scope="module")
def browser():
    with run_browser() as process:
        yield process


@pytest.fixture
def listener(browser, service, event):
    """A well-behaved client: after each test it hears the next change, on the same connection, and
    the service has met nothing that it did not expect."""
    logged = len(service.log_lines())
    client = browser.connect(service.url)
    client.join("join-seat-selection", event)
    yield client
    body = {"eventId": event.id, "seatIds": [event.seat_ids[-1]]}
    assert service.post("/seats/reserve", token=token_for(), json=body).status == 201
    client.wait("seat-locked", lambda seat: seat["seatId"] == event.seat_ids[-1])
    assert client.heard("#disconnect") == []
    assert troubles(service, logged) == []
    client.close()
