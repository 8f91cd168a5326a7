"""No secret is ever in a log. Every log of the tests is searched when its instance has ended
(tests/support/service.py); here everything that is secret is sent, and the search is tested."""

import secrets
from pathlib import Path

import pytest
import socketio

from dev.servers import Servers
from tests.support.buyers import token_for
from tests.support.factories import MakeEvent, ticket
from tests.support.logged_secrets import secrets_in
from tests.support.service import JWT_SECRET, Service, run_service
from tests.support.sockets import connected
from tests.support.tokens import claims, signed

ADDRESS = "somebody@mail.example"
SERVICE_TOKEN = secrets.token_hex(32)


def send_secrets(service: Service, event_id: str) -> None:
    """Send tokens, good and bad ones, addresses and cookies wherever they can be."""
    good, bad = (
        token_for(),
        signed(claims(email=ADDRESS), key="another secret, which is long enough"),
    )
    for token in (good, bad, f"{good}x", "not a token"):
        for path in ("/reservations/my", f"/queue/status/{event_id}", "/events", "/nothing"):
            service.get(path, token=token, headers={"Cookie": f"session={token}"})
        service.get(f"/events?token={token}&q={ADDRESS}")
        service.post("/reservations", token=token, json={"email": ADDRESS, "password": "hush-hush"})
        service.post("/reservations", token=token, body=f'{{"token": "{token}", ')
        service.request("GET", f"/{token}", headers={"X-Internal-Token": SERVICE_TOKEN[:-1] + "x"})
        service.get("/internal/audit", headers={"X-Internal-Token": token})
    service.get("/internal/audit", headers={"X-Internal-Token": SERVICE_TOKEN})
    with connected(service, good) as page:
        page.ask("join-event", {"eventId": event_id, "token": good, "email": ADDRESS})
    with pytest.raises(socketio.exceptions.ConnectionError), connected(service, bad):
        pass
    service.get("/events", headers={"Authorization": f"Basic {ADDRESS}", "X-Request-ID": ADDRESS})


def test_nothing_secret_is_logged_even_with_all_details(
    servers: Servers, folder: Path, make_event: MakeEvent
):
    event = make_event(tickets=[ticket()])
    with run_service(folder, LOG_LEVEL="DEBUG", INTERNAL_API_TOKEN=SERVICE_TOKEN) as service:
        send_secrets(service, event.id)
    assert any(line.get("route") == "/api/v1/events" for line in service.log_lines())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Authorization", f"Bearer {signed(claims())}"),
        ("Cookie", "Cookie: session=1"),
        ("Referer", f"https://tickets.example/?mail={ADDRESS}"),
        ("Referer", "postgresql://tickets:hush@db/tickets"),
        ("Referer", "password=hush"),
        ("Referer", JWT_SECRET),
    ],
    ids=["token", "cookie", "address", "URL", "password", "secret"],
)
def test_the_search_finds_it(servers: Servers, folder: Path, header: str, value: str):
    tells = "HTTP_" + header.upper()
    with (
        pytest.raises(AssertionError, match="heard"),
        run_service(folder, app="tests.support.talkative:app", TELLS=tells) as service,
    ):
        assert service.request("GET", "/health", headers={header: value}).status == 200


@pytest.mark.parametrize(
    "line",
    ['{"route": "/api/v1/events/<id:event_id>"}', "postgresql://postgres@/tests", "no token given"],
)
def test_what_is_not_secret_may_be_logged(line: str):
    assert secrets_in(line, {"JWT_SECRET": JWT_SECRET, "REDIS_URL": "redis://localhost"}) == []
