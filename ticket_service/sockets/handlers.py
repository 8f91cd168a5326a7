"""What browsers send over Socket.IO (the wire contract, section 3)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import gevent
import orjson
from flask import request
from marshmallow import Schema, ValidationError
from socketio.exceptions import ConnectionRefusedError

from ticket_service.errors import (
    AuthenticationRequired,
    InvalidInput,
    NotInRoom,
    ServiceError,
    TooManyRooms,
    TooManySockets,
)
from ticket_service.http.auth import caller_of_token
from ticket_service.messages import Language, preferred_language, sentence
from ticket_service.realtime import events
from ticket_service.realtime.message_limit import MessageLimit
from ticket_service.realtime.rooms import MAX_ROOMS, Client, SocketGone
from ticket_service.realtime.socket_limit import MAX_SOCKETS
from ticket_service.sockets.schemas import JoinSeats, OfEvent, SeatSelection
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.wiring import Services

MAX_PAYLOAD_BYTES = 8_192
"""Bytes of JSON; the largest of the contract is a list of some seats."""

log = logging.getLogger(__name__)

Handle = Callable[[str, dict[str, Any]], dict[str, Any]]


class Handlers:
    """One method an event: it gets the socket's id and the payload, and returns what is
    acknowledged."""

    def __init__(self, services: Services, secret: str) -> None:
        self._events = services.events
        self._event_seats = services.event_seats
        self._waiting_room = services.waiting_room
        self._watches = services.watches
        self._presence = services.presence
        self._sessions = services.sessions
        self._announcer = services.announcer
        self._rooms = services.rooms
        self._socket_limit = services.socket_limit
        self._messages = MessageLimit()
        self._secret = hashlib.sha256(secret.encode()).digest()

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """All of them, by the event that they handle."""
        of_event = OfEvent()
        return {
            "connect": self.connect,
            "disconnect": self.disconnect,
            "join-event": self.acknowledged(of_event, self.join_event),
            "leave-event": self.acknowledged(of_event, self.leave_event),
            "join-queue": self.acknowledged(of_event, self.join_queue),
            "leave-queue": self.acknowledged(of_event, self.leave_queue),
            "join-seat-selection": self.acknowledged(JoinSeats(), self.join_seats),
            "seat-selection-changed": self.acknowledged(SeatSelection(), self.choose_seats),
        }

    def connect(self, auth: object = None) -> None:
        """Let a socket in that shows a valid token, and bring it back to its rooms."""
        token = auth.get("token") if isinstance(auth, Mapping) else None
        try:
            if not isinstance(token, str):
                raise AuthenticationRequired
            caller = caller_of_token(token)
        except ServiceError as error:
            problem = _problem(error)
            raise ConnectionRefusedError(f"authentication: {problem['error']}", problem) from error
        sid = _sid()
        self._rooms.arrived(sid, Client(caller.user_id, caller.expires_at))
        admitted = self._socket_limit.admit(caller.user_id)
        if not admitted or self._rooms.is_closed(sid):  # python-socketio would not tell us of it
            self._rooms.gone(sid)
            if admitted:
                gevent.spawn(self._socket_limit.left, caller.user_id)
            problem = _problem(TooManySockets(limit=MAX_SOCKETS))
            raise ConnectionRefusedError(problem["error"], problem)
        gevent.spawn(self._restore, sid)  # after the connection is confirmed

    def disconnect(self, reason: str) -> None:
        """Forget a socket. Its session stays, and its place in line, for a while.

        Never waits: whoever sends to a socket that does not read may be the one who closes it.
        """
        client = self._rooms.clients.get(_sid())
        self._rooms.gone(_sid())
        if client is not None:
            gevent.spawn(self._left, client)

    def _left(self, client: Client) -> None:
        self._socket_limit.left(client.user_id)
        self._remember(client, kept=client.rooms)

    def join_event(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Be told of an event's stock and people; the answer has both as they are now."""
        event_id = payload["eventId"]
        self._events.read(event_id)
        self._ask_to_join(sid, events.event(event_id))
        self._rooms.join(sid, events.event(event_id))
        people = self._presence.joined(event_id)
        stock = self._watches.stock(event_id)
        return {"eventId": event_id, "userCount": people, "ticketTypes": stock}

    def leave_event(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Be told no more."""
        self._leave(sid, events.event(payload["eventId"]))
        return {}

    def join_queue(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The same as POST /queue/check, and be told of changes."""
        event_id = payload["eventId"]
        self._events.read(event_id)
        self._ask_to_join(sid, events.queue(event_id))
        place = self._waiting_room.check(self._user(sid), event_id)
        self._rooms.join(sid, events.queue(event_id))
        self._note(sid, event_id, place["status"])
        return place

    def _note(self, sid: str, event_id: str, status: str) -> None:
        """Remember whether this socket knows that the person may enter."""
        entries = self._rooms.client(sid).entries
        entries.pop(event_id, None)
        if status == "active":
            entries[event_id] = time.monotonic()

    def leave_queue(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Give the place up, and be told no more."""
        self._leave(sid, events.queue(payload["eventId"]))
        self._note(sid, payload["eventId"], "not_in_queue")
        self._waiting_room.leave(self._user(sid), payload["eventId"])
        return {}

    def join_seats(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Be told of an event's seats; the answer has those that are not available now, unless
        their version is the one that the client says it has."""
        event_id = payload["eventId"]
        self._events.read(event_id)
        self._ask_to_join(sid, events.seats(event_id))
        self._rooms.join(sid, events.seats(event_id))
        seats = self._watches.seats(event_id)
        if payload.get("version") == seats["version"]:
            del seats["seats"]
        return seats

    def choose_seats(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Show others what one has chosen and not yet taken."""
        event_id, chosen = payload["eventId"], payload["seats"]
        client = self._rooms.client(sid)
        if events.seats(event_id) not in client.rooms:
            raise NotInRoom
        self._event_seats.check_choice(event_id, chosen)
        self._remember(client, chosen=chosen, message=True)
        holder = hashlib.blake2b(
            f"{event_id}:{client.user_id}".encode(), digest_size=8, key=self._secret
        )
        self._announcer.seat_update(event_id, holder.hexdigest(), chosen, sender=sid)
        return {}

    def acknowledged(self, schema: Schema, handle: Handle) -> Callable[..., dict[str, Any]]:
        """The handler of an event: checks what was sent, and answers also what was refused."""

        @wraps(handle)
        def handler(payload: object = None, *_: object) -> dict[str, Any]:
            sid = _sid()
            try:
                self._messages.count(self._user(sid))
                return {"success": True, **handle(sid, _load(schema, payload))}
            except ServiceError as error:
                return _problem(error)
            except SocketGone:
                return {}
            except Exception:
                log.exception("unhandled", extra={"event": handle.__name__})
                text = sentence("INTERNAL_ERROR", _language())
                return {"success": False, "error": text, "message": text, "code": "INTERNAL_ERROR"}

        return handler

    def _user(self, sid: str) -> str:
        return self._rooms.client(sid).user_id

    def _ask_to_join(self, sid: str, room: str) -> None:
        """Count the message, and remember the room. Raises TooManyRooms and RateLimited."""
        if not self._rooms.may_join(sid, room):
            raise TooManyRooms(limit=MAX_ROOMS)
        self._remember(self._rooms.client(sid), joined=[room], message=True)

    def _leave(self, sid: str, room: str) -> None:
        self._remember(self._rooms.client(sid), left=room, message=True)
        self._rooms.leave(sid, room)

    def remember_all(self) -> None:
        """Keep the sessions of those who are here; to be called well within their time to live."""
        for client in list(self._rooms.clients.values()):
            self._remember(client, kept=client.rooms)

    def _remember(self, client: Client, **change: Any) -> None:
        """Change a session, see `Sessions.update`, if Redis can be asked. Raises RateLimited."""
        try:
            self._sessions.update(client.user_id, **change)
        except RedisUnavailable:
            log.warning("session not kept")

    def _restore(self, sid: str) -> None:
        """Bring a person who connects again back to the rooms of the last hour."""
        try:
            client = self._rooms.client(sid)
            session = self._sessions.update(client.user_id)
            for room in session.rooms:
                try:
                    self._bring_back(sid, client, room)
                except ServiceError as error:  # whatever is wrong with it, the others are fine
                    log.info("room not restored", extra={"room": room, "code": error.code})
            if session.rooms:
                rooms = [room for room in session.rooms if room in client.rooms]
                self._rooms.send(events.session_restored(sid, rooms, session.chosen))
        except (SocketGone, RedisUnavailable):
            log.info("session not restored")

    def _bring_back(self, sid: str, client: Client, room: str) -> None:
        if room in client.rooms or not self._rooms.may_join(sid, room):
            return
        kind, _, event_id = room.partition(":")
        self._events.read(event_id)
        self._rooms.join(sid, room)
        client.restored.add(room)
        if kind == "event":
            self._presence.joined(event_id)
        elif kind == "queue":
            place = self._waiting_room.status(client.user_id, event_id)
            self._note(sid, event_id, place["status"])
        self._watches.begin(event_id, seats=kind == "seats", stock=kind == "event")


def _load(schema: Schema, payload: object) -> dict[str, Any]:
    """The checked payload: an object, or a bare event id. Raises InvalidInput."""
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


def _problem(error: ServiceError) -> dict[str, Any]:
    text = sentence(error.message or error.code, _language(), **error.values)
    problem = {"success": False, "error": text, "message": text, "code": error.code}
    return problem | ({"details": error.details} if error.details else {})


def _language() -> Language:
    return preferred_language(request.headers.get("Accept-Language", ""))


def _sid() -> str:
    sid: str = request.sid  # type: ignore[attr-defined] # Flask-SocketIO sets it
    return sid
