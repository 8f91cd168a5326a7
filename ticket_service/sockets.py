"""What browsers send over Socket.IO (the wire contract, section 3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from flask import Flask, request
from flask_socketio import SocketIO
from socketio.exceptions import ConnectionRefusedError

from ticket_service.blueprints.auth import caller_of_token
from ticket_service.blueprints.schemas.fields import UUID_PATTERN
from ticket_service.config import Settings
from ticket_service.errors import AuthenticationRequired, InvalidInput, ServiceError
from ticket_service.exchange import preferred_language
from ticket_service.messages import sentence
from ticket_service.realtime.events import queue
from ticket_service.realtime.rooms import NAMESPACE
from ticket_service.services import Services

LARGEST_MESSAGE = 16_384
"""Bytes that a client may send at once; the largest of the contract is a list of a few seats."""

log = logging.getLogger(__name__)


class Sockets:
    """The Socket.IO server, which answers before Flask does."""

    def __init__(self, app: Flask, services: Services, settings: Settings) -> None:
        socketio = SocketIO(
            app,
            async_mode="gevent",
            client_manager=services.rooms,
            cors_allowed_origins=list(settings.frontend_urls),
            manage_session=False,
            max_http_buffer_size=LARGEST_MESSAGE,
        )
        handlers = _Handlers(services)
        socketio.on_event("connect", handlers.connect)
        socketio.on_event("disconnect", handlers.disconnect)
        socketio.on_event("join-queue", _acknowledged(handlers.join_queue))
        socketio.on_event("leave-queue", _acknowledged(handlers.leave_queue))
        self._engine = services.rooms.server.eio

    def close(self) -> None:
        """Close all sockets; their clients connect to another instance by themselves."""
        for socket in list(self._engine.sockets.values()):
            socket.close(wait=False)


class _Handlers:
    """One method an event; what it returns is acknowledged."""

    def __init__(self, services: Services) -> None:
        self._waiting_room = services.waiting_room
        self._rooms = services.rooms

    def connect(self, auth: object = None) -> None:
        """Let a socket in that shows a valid token."""
        token = auth.get("token") if isinstance(auth, Mapping) else None
        try:
            if not isinstance(token, str):
                raise AuthenticationRequired
            caller = caller_of_token(token)
        except ServiceError as error:
            problem = _error(error)
            raise ConnectionRefusedError(f"authentication: {problem['error']}", problem) from error
        self._rooms.arrived(_sid(), caller.user_id)

    def disconnect(self, reason: str) -> None:
        """Forget a socket; its place in line stays, for a while."""
        self._rooms.gone(_sid())

    def join_queue(self, event_id: str) -> dict[str, Any]:
        """The same as POST /queue/check, and be told of changes."""
        place = self._waiting_room.check(self._rooms.user_of(_sid()), event_id)
        self._rooms.enter_room(_sid(), NAMESPACE, queue(event_id))
        return place

    def leave_queue(self, event_id: str) -> dict[str, Any]:
        """Give the place up, and be told no more."""
        self._rooms.leave_room(_sid(), NAMESPACE, queue(event_id))
        self._waiting_room.leave(self._rooms.user_of(_sid()), event_id)
        return {}


def _acknowledged(handle: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The handler of an event whose payload is `{eventId}` or a bare id; it acknowledges."""

    @wraps(handle)
    def handler(payload: object = None, *_: object) -> dict[str, Any]:
        try:
            return {"success": True, **handle(_event_id(payload))}
        except ServiceError as error:
            return _error(error)
        except Exception:
            log.exception("unhandled")
            text = sentence("INTERNAL_ERROR", _language())
            return {"success": False, "error": text, "message": text, "code": "INTERNAL_ERROR"}

    return handler


def _event_id(payload: object) -> str:
    event_id = payload.get("eventId") if isinstance(payload, Mapping) else payload
    if not isinstance(event_id, str) or not UUID_PATTERN.fullmatch(event_id):
        raise InvalidInput({"eventId": ["Not a valid UUID."]})
    return event_id.lower()


def _error(error: ServiceError) -> dict[str, Any]:
    text = sentence(error.message or error.code, _language(), **error.values)
    answer = {"success": False, "error": text, "message": text, "code": error.code}
    return answer | ({"details": error.details} if error.details else {})


def _language() -> Any:
    return preferred_language(request.headers.get("Accept-Language", ""))


def _sid() -> str:
    sid: str = request.sid  # type: ignore[attr-defined] # Flask-SocketIO sets it
    return sid
