"""The Socket.IO server.

Flask-SocketIO is its entry: it makes python-socketio's server with our settings, and runs each
handler in a Flask request of its own, with `request.sid`, made from the request that opened the
connection. Nothing else of it is used: not its middleware, sessions, rooms or `emit`.

python-socketio reads packets, knows which connection has signed in under which id, calls the
handlers and sends what they return as acknowledgements. python-engineio beneath it answers the
requests, keeps the sessions of clients that poll and gives up those that answer no ping. Ours are
the WebSocket (realtime/engine.py, websocket.py), the rooms (realtime/rooms.py), and what is
checked before either sees it (sockets/guard.py).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import gevent
from flask import Flask
from flask_socketio import SocketIO

from ticket_service.config import Settings
from ticket_service.http.limits import Limits
from ticket_service.http.responses import Answer, Environ, error_body
from ticket_service.libraries import private_parts
from ticket_service.messages import preferred_language, sentence
from ticket_service.realtime.budgets import SIGNED_IN
from ticket_service.realtime.engine import EngineSocket
from ticket_service.realtime.rooms import NAMESPACE, Rooms
from ticket_service.sockets.guard import Json, NumberedPacket, guard, is_allowed, quiet_logger

LATECOMERS_INTERVAL = 0.1
"""Seconds between two rounds of closing the sockets that connect during a stop."""

LOGIN_TIMEOUT = 10.0
"""Seconds in which a new connection must send its token."""


class Sockets:
    """The Socket.IO server: a WSGI application, called before Flask."""

    def __init__(self, app: Flask, rooms: Rooms, settings: Settings, limits: Limits) -> None:
        self._socketio = SocketIO(  # type: ignore[call-arg] # the stubs lack `serializer`
            app,
            async_mode="gevent",
            client_manager=rooms,
            cors_allowed_origins=partial(  # type: ignore[arg-type] # the stubs know no functions
                is_allowed, settings.frontend_urls
            ),
            json=Json,
            serializer=NumberedPacket,
            async_handlers=False,  # one after the other, so a socket's last message wins
            logger=logging.getLogger("socketio"),
            engineio_logger=quiet_logger(),
            manage_session=False,
            max_http_buffer_size=SIGNED_IN.max_message,
        )
        self._app = app
        self._rooms = rooms
        self._sockets = private_parts.open_sockets(rooms.server)
        private_parts.use_sockets(EngineSocket)
        guard(rooms.server, limits.strangers)
        self._unauthenticated: dict[str, float] = {}
        """When a connection that has not signed in was first seen (`time.monotonic()`)."""
        self._drain_seconds = settings.drain_seconds

    def on(self, name: str, handler: Callable[..., Any]) -> None:
        """Register the handler of a message, or of `connect` or `disconnect`."""
        self._socketio.on_event(name, handler)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI).

        Not through Flask-SocketIO, which copies the environment and makes a class for each client.
        """
        if _wants_websocket(environ) and not _can_upgrade(environ):
            refusal = _upgrade_required(environ)
            start_response("426 Upgrade Required", refusal.headers)
            return [refusal.body]
        environ["flask.app"] = self._app
        answer: Iterable[bytes] = self._rooms.server.handle_request(environ, start_response)
        return answer

    def close_expired(self) -> None:
        """Disconnect sockets whose token has expired, and close connections that did not sign in
        within LOGIN_TIMEOUT.

        Call it about once a second. Other greenlets run after each one, since many may expire at
        once.
        """
        for sid in self._rooms.expired(time.time()):
            self._rooms.server.disconnect(sid)
            gevent.sleep(0)
        now, earlier = time.monotonic(), self._unauthenticated
        self._unauthenticated = {}
        for sid, socket in list(self._sockets.items()):
            if self._rooms.sid_from_eio_sid(sid, NAMESPACE) is None:
                since = self._unauthenticated[sid] = earlier.get(sid, now)
                if now - since > LOGIN_TIMEOUT:
                    socket.close(wait=False)
                    gevent.sleep(0)

    def close(self) -> None:
        """Close all sockets, one after the other, over DRAIN_SECONDS. Their clients reconnect to
        another instance by themselves, and must not all do so at once."""
        sockets = list(self._sockets.values())
        random.shuffle(sockets)
        for socket in sockets:
            socket.close(wait=False)
            gevent.sleep(self._drain_seconds / len(sockets))

    def close_latecomers(self) -> None:
        """Close the sockets that still connect, until the process ends."""
        while True:
            for socket in list(self._sockets.values()):
                socket.close(wait=False)
            gevent.sleep(LATECOMERS_INTERVAL)


def _wants_websocket(environ: Environ) -> bool:
    """Whether the request asks for a WebSocket, by its query or its headers."""
    return environ["REQUEST_METHOD"] == "GET" and (
        "transport=websocket" in environ.get("QUERY_STRING", "")
        or environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    )


def _can_upgrade(environ: Environ) -> bool:
    """Whether the request is a valid WebSocket handshake (RFC 6455, section 4.2.1)."""
    connection = environ.get("HTTP_CONNECTION", "").lower().split(",")
    return (
        environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and any(option.strip() == "upgrade" for option in connection)
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == "13"
    )


def _upgrade_required(environ: Environ) -> Answer:
    """The refusal of an invalid WebSocket handshake (RFC 6455, section 4.2.2)."""
    language = preferred_language(environ.get("HTTP_ACCEPT_LANGUAGE", ""))
    return error_body(
        426,
        "VALIDATION_ERROR",
        sentence("UPGRADE_REQUIRED", language),
        environ,
        headers=[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        ],
    )
