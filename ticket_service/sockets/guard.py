"""What protects the Socket.IO server: the check of packets and origins, JSON, and its logger.

python-socketio trusts packets. It collects as many attachments as a packet announces, fails if an
event has no name, and lets a client call the handlers of `connect` and `disconnect`. That could
make the service forget a client that still receives everything. A client that sends such packets
is disconnected. None of our events have attachments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from socketio.packet import CONNECT, DISCONNECT, EVENT, Packet
from wsproto.frame_protocol import CloseReason

from ticket_service.errors import ServiceError, ServiceUnavailable, TooManyFromAddress
from ticket_service.http.limits import AddressLimit
from ticket_service.http.responses import Environ, error_answer
from ticket_service.libraries import private_parts
from ticket_service.metrics import SOCKETS_REFUSED
from ticket_service.realtime.budgets import (
    NEWCOMER,
    SIGN_IN_COST,
    SIGNED_IN,
    NewcomerLimit,
)
from ticket_service.realtime.rooms import NAMESPACE

_RESERVED = {"connect", "disconnect"}

log = logging.getLogger(__name__)


def guard(server: Any, strangers: AddressLimit) -> None:
    """Check every packet that a python-socketio server receives, and limit the connections that
    have not signed in: all of them together, and those of each address (`strangers`).

    The server also no longer waits for clients that it disconnects: a polling client that never
    fetches its packets would make it wait for ever.
    """
    limit = NewcomerLimit()
    disconnect = partial(_disconnect, server)

    def handle(engine_sid: str, data: str | bytes) -> None:
        socket = private_parts.open_sockets(server).get(engine_sid)
        if socket is None or socket.closed:
            return  # the client sent this before it knew that the socket is closed
        try:
            if _check(server, data) == CONNECT:
                socket.budget.spend(SIGN_IN_COST)
        except Exception as error:  # python-socketio raises many kinds for a bad packet
            log.info("not a packet", extra={"error": type(error).__name__})
            if socket.websocket is not None:
                socket.websocket.close(CloseReason.POLICY_VIOLATION)
            disconnect(engine_sid, abort=True)
            return
        try:
            private_parts.pass_message_on(server, engine_sid, data)
        except Exception:
            log.exception("unhandled")
            disconnect(engine_sid, abort=True)
        sid = server.manager.sid_from_eio_sid(engine_sid, NAMESPACE)
        if socket.budget.allowance is NEWCOMER and sid is not None:
            socket.budget.allowance = SIGNED_IN
            limit.release()
            strangers.take_back(server.get_environ(sid, NAMESPACE))

    private_parts.take_messages(server, handle)
    private_parts.replace_disconnect(server, disconnect)
    private_parts.wrap_connect(server, partial(_limited, limit, strangers))


def _disconnect(server: Any, engine_sid: str, *, abort: bool = False) -> None:
    socket = private_parts.open_sockets(server).get(engine_sid)
    if socket is not None:
        socket.close(wait=False, abort=abort)


def _limited(
    limit: NewcomerLimit, strangers: AddressLimit, open_connection: Callable[..., Any]
) -> Callable[..., Any]:
    """Wrap engineio's function that opens a connection: it answers 503 while there are too many,
    and 429 while too many come from the same address and do not sign in."""

    def open_or_refuse(environ: Environ, *args: Any, **kwargs: Any) -> Any:
        try:
            strangers.hit(environ)
        except TooManyFromAddress as error:
            return _refusal("429 Too Many Requests", error, environ)
        if limit.acquire():
            return open_connection(environ, *args, **kwargs)
        SOCKETS_REFUSED.inc()
        return _refusal("503 Service Unavailable", ServiceUnavailable(), environ)

    return open_or_refuse


def _refusal(status: str, error: ServiceError, environ: Environ) -> dict[str, Any]:
    """Return an answer as engineio takes it."""
    answer = error_answer(error, environ)
    return {"status": status, "headers": answer.headers, "response": answer.body}


def _check(server: Any, data: str | bytes) -> int:
    """Return the type of a valid packet. Raises an error for any other."""
    if isinstance(data, bytes):
        raise ValueError("an attachment")
    packet = server.packet_class(encoded_packet=data)
    if packet.packet_type == EVENT:
        words = packet.data
        if not isinstance(words, list) or not words or not isinstance(words[0], str):
            raise ValueError("an event without a name")
        if words[0] in _RESERVED:
            raise ValueError("an event that is not for clients to send")
    elif packet.packet_type not in (CONNECT, DISCONNECT):
        raise ValueError("nothing that we ask for")
    packet_type: int = packet.packet_type
    return packet_type


class NumberedPacket(Packet):  # type: ignore[misc] # python-socketio has no types
    """A packet that gives each accepted connection a `pid`.

    socket.io-client (from 4.6) shows it when the same page connects again. A new page has none. So
    we know which connection follows a lost one.
    """

    data: Any

    def encode(self) -> Any:
        """What is sent."""
        if self.packet_type == CONNECT:
            self.data = {**self.data, "pid": self.data["sid"]}
        return super().encode()


class Json:
    """The JSON module that Socket.IO uses."""

    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        """Return the text. Keys may be numbers, as marshmallow numbers the elements of a list."""
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def quiet_logger() -> logging.Logger:
    """Return a silent logger for Engine.IO, which logs mistakes of clients as errors."""
    logger = logging.getLogger(f"{__name__}.engine")
    logger.setLevel(logging.CRITICAL)
    return logger


def is_allowed(allowed: tuple[str, ...], origin: str | None, environ: Environ) -> bool:
    """Whether pages of this origin may connect: an allowed one, or the service's own, which clients
    other than browsers often send."""
    if origin is None:
        return False
    return origin in allowed or origin.partition("://")[2] == environ.get("HTTP_HOST")
