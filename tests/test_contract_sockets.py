"""docs/contract.md says what is sent and heard over Socket.IO, neither more nor less."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from tests.support import contract
from tests.support.browser import Browser
from tests.support.buyers import token_for
from tests.support.factories import Event, section, ticket
from tests.support.service import Service
from ticket_service.realtime import events
from ticket_service.realtime.budgets import NEWCOMER, SIGNED_IN
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.rooms import MAX_ROOMS, Rooms
from ticket_service.realtime.socket_limit import MAX_SOCKETS
from ticket_service.realtime.websocket import MAX_FRAGMENTS
from ticket_service.sockets.handlers import (
    MAX_PAYLOAD_BYTES,
    EventHandlers,
    Messages,
    QueueHandlers,
    SeatHandlers,
)

SENT = contract.of_chapter("What clients send")
HEARD = contract.of_chapter("What clients hear")


def test_connect_errors_are_as_written(browser: Browser, service: Service):
    written = contract.section("Connecting").table("Connect error")
    assert written.keys() <= contract.section("Errors").table("Code").keys()
    tokens = {
        "AUTHENTICATION_REQUIRED": None,
        "INVALID_TOKEN": {"token": "forged"},
        "TOKEN_EXPIRED": {"token": token_for(exp=1)},
    }
    for code, auth in tokens.items():
        refused = browser.refusal(service.url, auth)
        assert refused["data"]["code"] == code
        assert refused["message"].startswith("authentication")
        assert written[code][0] == "begins with `authentication`"
    assert written.keys() - tokens.keys() == {"LIMIT_EXCEEDED", "RATE_LIMITED"}


def test_every_event_that_clients_send_is_there_with_its_payload():
    new = object.__new__  # they are only asked which there are
    messages = Messages(new(Rooms), new(EventHandlers), new(QueueHandlers), new(SeatHandlers))
    handlers = messages.handlers
    assert SENT.keys() == handlers.keys()
    for name, part in SENT.items():
        schema = inspect.getclosurevars(handlers[name]).nonlocals["schema"]
        assert part.table("Payload").keys() == schema.fields.keys(), name


def test_acknowledgements_are_as_written(
    browser: Browser, service: Service, make_event: Callable[..., Event]
):
    event = make_event(sections=[section()], tickets=[ticket()])
    client = browser.connect(service.url)
    for name in (*(name for name in SENT if "leave" not in name), "leave-event", "leave-queue"):
        payload = {"eventId": event.id, "seats": event.seat_ids[:1]}
        written = SENT[name].table("Acknowledgement")
        answer = client.emit(name, payload)
        assert answer["success"] is True, answer
        assert written.keys() == answer.keys(), name
    refused = client.emit("join-event", {"eventId": "nonsense"})
    assert refused.keys() == {"success", "error", "message", "code", "details"}


def built() -> dict[str, events.RoomEvent]:
    """One of each event that clients hear."""
    values: dict[str, Any] = {"str": "x", "int": 1, "list[str]": []}
    found = []
    for _, build in inspect.getmembers(events, inspect.isfunction):
        kinds = dict(inspect.get_annotations(build))
        if kinds.pop("return", None) == "RoomEvent":
            given = {name: values[kind] for name, kind in kinds.items()}
            found.append(build(**given))
            found += [build(**{**given, "status": "available"})] if "status" in given else []
    return {event.name: event for event in found}


def test_every_event_that_clients_hear_is_there_with_its_payload():
    heard = built()
    assert HEARD.keys() == heard.keys()
    for name, event in heard.items():
        assert HEARD[name].table("Key").keys() == event.payload.keys(), name
        rooms = {"event": "event:{id}", "seats": "seats:{id}", "queue": "queue:{id}"}
        room = rooms.get(event.room.partition(":")[0])
        assert room is None or f"`{room}`" in HEARD[name].text.splitlines()[1]


def test_aliases_are_as_written():
    written = {name: re.findall(r"Alias: `([a-z-]+)`", part.text) for name, part in HEARD.items()}
    expected = {name: [alias] for name, alias in events.ALIASES.items()}
    assert {name: aliases for name, aliases in written.items() if aliases} == expected


def test_what_a_join_lets_one_hear_is_there():
    for part in SENT.values():
        named = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", part.text)
        assert set(named) <= HEARD.keys() | SENT.keys()


def test_limits_of_sockets_are_as_written():
    text = " ".join(contract.section("Limits of a socket").text.split())
    for limit in (
        f"have {MAX_SOCKETS} sockets",
        f"send {BURST} messages at once and {PER_SECOND} a second",
        f"in {MAX_ROOMS} rooms",
        f"{MAX_PAYLOAD_BYTES:,} bytes of JSON",
        f"{SIGNED_IN.burst} at once and {SIGNED_IN.per_second} a second; {NEWCOMER.burst} in all",
        f"over {SIGNED_IN.max_message // 1000} kB ({NEWCOMER.max_message // 1000} kB before",
        f"more than {MAX_FRAGMENTS} pieces",
    ):
        assert limit in text
