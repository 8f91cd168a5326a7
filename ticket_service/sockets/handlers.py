"""The handlers of the messages that signed-in browsers send (docs/contract.md)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import orjson
from marshmallow import Schema, ValidationError

from ticket_service.errors import InvalidInput, NotInRoom, ServiceError
from ticket_service.realtime import events
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.event_feed import EventFeed
from ticket_service.realtime.message_limit import MessageLimit
from ticket_service.realtime.presence import PresenceReporter
from ticket_service.realtime.rooms import Rooms, SocketGone
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.services.event_seats import EventSeats
from ticket_service.services.waiting_room import WaitingRoom
from ticket_service.sockets.answers import current_sid, failure, refusal
from ticket_service.sockets.memberships import Memberships
from ticket_service.sockets.schemas import EventMessage, JoinSeats, SeatSelection
from ticket_service.stores.event_info import EventInfos

MAX_PAYLOAD_BYTES = 8_192
"""Bytes of a payload as JSON. The largest useful one is a list of a hundred seats."""

log = logging.getLogger(__name__)

Handle = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Takes the socket's id and the payload, and returns the acknowledgement."""


class EventHandlers:
    """`join-event` and `leave-event`."""

    def __init__(
        self,
        memberships: Memberships,
        event_infos: EventInfos,
        presence: PresenceReporter,
        event_feed: EventFeed,
    ) -> None:
        self._memberships = memberships
        self._event_infos = event_infos
        self._presence = presence
        self._event_feed = event_feed

    def join(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Join an event's room. The answer has its stock and its number of people now."""
        event_id = payload["eventId"]
        self._event_infos.read(event_id)
        self._memberships.request_join(sid, events.event(event_id))
        self._memberships.join(sid, events.event(event_id))
        people = self._presence.on_join(sid, event_id)
        stock = self._event_feed.snapshot(event_id)
        return {"eventId": event_id, "userCount": people, "ticketTypes": stock}

    def leave(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Leave an event's room."""
        self._memberships.leave(sid, events.event(payload["eventId"]))
        return {}


class QueueHandlers:
    """`join-queue` and `leave-queue`."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        event_infos: EventInfos,
        waiting_room: WaitingRoom,
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._event_infos = event_infos
        self._waiting_room = waiting_room

    def join(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Join the room of an event's waiting room. The answer is that of POST /queue/check."""
        event_id = payload["eventId"]
        self._event_infos.read(event_id)
        self._memberships.request_join(sid, events.queue(event_id))
        place = self._waiting_room.check(self._rooms.client(sid).user_id, event_id)
        self._memberships.join(sid, events.queue(event_id))
        self._memberships.record_place(sid, event_id, place["status"])
        return place

    def leave(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Leave the room of an event's waiting room, and give up the place."""
        event_id = payload["eventId"]
        self._memberships.leave(sid, events.queue(event_id))
        self._memberships.record_place(sid, event_id, "not_in_queue")
        self._waiting_room.leave(self._rooms.client(sid).user_id, event_id)
        return {}


class SeatHandlers:
    """`join-seat-selection` and `seat-selection-changed`."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        event_infos: EventInfos,
        event_seats: EventSeats,
        seat_feed: SeatFeed,
        announcer: Announcer,
        *,
        secret: str,
    ) -> None:
        """`secret`: makes `holder`, which stands for a person in an event, unguessable."""
        self._rooms = rooms
        self._memberships = memberships
        self._event_infos = event_infos
        self._event_seats = event_seats
        self._seat_feed = seat_feed
        self._announcer = announcer
        self._secret = hashlib.sha256(secret.encode()).digest()

    def join(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Join an event's seats room. The answer has the seats that are not available now, unless
        the client has their version already."""
        event_id = payload["eventId"]
        self._event_infos.read(event_id)
        self._memberships.request_join(sid, events.seats(event_id))
        self._memberships.join(sid, events.seats(event_id))
        seats = self._seat_feed.snapshot(event_id)
        if payload.get("version") == seats["version"]:
            del seats["seats"]
        return seats

    def choose(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Show the others in the seats room which seats this person has chosen, but not taken."""
        event_id, chosen = payload["eventId"], payload["seats"]
        client = self._rooms.client(sid)
        if events.seats(event_id) not in client.rooms:
            raise NotInRoom
        self._event_seats.check_choice(event_id, chosen)
        self._memberships.update_session(client, chosen=chosen, message=True)
        holder = hashlib.blake2b(
            f"{event_id}:{client.user_id}".encode(), digest_size=8, key=self._secret
        )
        self._announcer.seat_update(event_id, holder.hexdigest(), chosen, sender=sid)
        return {}


class Messages:
    """Checks, counts and acknowledges every message."""

    def __init__(
        self,
        rooms: Rooms,
        event_handlers: EventHandlers,
        queue_handlers: QueueHandlers,
        seat_handlers: SeatHandlers,
    ) -> None:
        self._rooms = rooms
        self._limit = MessageLimit()
        event_message = EventMessage()
        handles: dict[str, tuple[Schema, Handle]] = {
            "join-event": (event_message, event_handlers.join),
            "leave-event": (event_message, event_handlers.leave),
            "join-queue": (event_message, queue_handlers.join),
            "leave-queue": (event_message, queue_handlers.leave),
            "join-seat-selection": (JoinSeats(), seat_handlers.join),
            "seat-selection-changed": (SeatSelection(), seat_handlers.choose),
        }
        self.handlers = {name: self._acknowledged(*of) for name, of in handles.items()}
        """The handlers for Flask-SocketIO, by the name of the message."""

    def _acknowledged(self, schema: Schema, handle: Handle) -> Callable[..., dict[str, Any]]:
        """Wrap `handle`: load the payload by `schema`, and acknowledge refusals and failures."""

        @wraps(handle)
        def handler(payload: object = None, *_: object) -> dict[str, Any]:
            sid = current_sid()
            try:
                self._limit.count(self._rooms.client(sid).user_id)
                return {"success": True, **handle(sid, _load(schema, payload))}
            except ServiceError as error:
                return refusal(error)
            except SocketGone:
                return {}
            except Exception:
                log.exception("unhandled", extra={"event": handle.__qualname__})
                return failure()

        return handler


def _load(schema: Schema, payload: object) -> dict[str, Any]:
    """The payload, checked. A bare event id stands for `{"eventId": …}`. Raises InvalidInput."""
    if not isinstance(payload, Mapping):
        payload = {"eventId": payload}
    try:
        if len(orjson.dumps(payload)) > MAX_PAYLOAD_BYTES:
            raise InvalidInput({"payload": [f"At most {MAX_PAYLOAD_BYTES} bytes."]})
        loaded: dict[str, Any] = schema.load(payload)
    except (ValidationError, orjson.JSONEncodeError) as error:
        faults = error.normalized_messages() if isinstance(error, ValidationError) else None
        raise InvalidInput(faults) from error
    return loaded
