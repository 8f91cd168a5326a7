"""What Socket.IO is told of the outside: who may come, what may come in, and how it is written.

python-socketio believes what a packet says of itself: collects as many attachments as one
announces, fails where one has no event name, and lets a client call the handlers of `connect` and
`disconnect`, by which it could have itself forgotten and still be told everything. Whoever sends
such things is disconnected. Nothing of ours has attachments.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import orjson
from socketio.packet import CONNECT, DISCONNECT, EVENT

from ticket_service.exchange import Environ

MOST_PACKETS = 400
"""Packets that a client may send at once, logged in or not; PACKETS_PER_SECOND: how many more each
second. Handlers refuse far fewer, but answer; this is for those who do not care."""
PACKETS_PER_SECOND = 50

_RESERVED = {"connect", "disconnect"}

log = logging.getLogger(__name__)


def guard(server: Any) -> None:
    """Have every packet that a python-socketio server receives checked.

    Nor does it wait for a client that it disconnects: for what a polling one never fetches, it
    would wait for ever.
    """

    def handle(engine_sid: str, data: str | bytes) -> None:
        socket = server.eio.sockets.get(engine_sid)
        if socket is None or socket.closed:
            return  # what it sent before it knew
        try:
            _count(socket.session)
            _check(server, data)
        except Exception as error:  # of whatever kind python-socketio fails with
            log.info("not a packet", extra={"error": type(error).__name__})
            disconnect(engine_sid, abort=True)
            return
        try:
            server._handle_eio_message(engine_sid, data)
        except Exception:
            log.exception("unhandled")
            disconnect(engine_sid, abort=True)

    def disconnect(engine_sid: str, *, abort: bool = False) -> None:
        socket = server.eio.sockets.get(engine_sid)
        if socket is not None:
            socket.close(wait=False, abort=abort)

    server.eio.on("message", handle)
    server.eio.disconnect = disconnect


def _count(session: dict[str, float]) -> None:
    """Raise ValueError for a client that sends more than any could that listens to its answers."""
    now = time.monotonic()
    waited = (now - session.get("at", now)) * PACKETS_PER_SECOND
    session["packets"] = max(0.0, session.get("packets", 0.0) - waited) + 1
    session["at"] = now
    if session["packets"] > MOST_PACKETS:
        raise ValueError("too many")


def _check(server: Any, data: str | bytes) -> None:
    """Raise ValueError unless this is a packet that we know."""
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


class Json:
    """What Socket.IO calls to read and write JSON."""

    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        """The text; keys may be numbers, as in the faults of a list."""
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def quiet_logger() -> logging.Logger:
    """For Engine.IO, which logs the faults of clients as errors of ours, outside our log."""
    logger = logging.getLogger(f"{__name__}.engine")
    logger.setLevel(logging.CRITICAL)
    return logger


def is_allowed(allowed: tuple[str, ...], origin: str | None, environ: Environ) -> bool:
    """Whether pages of this origin may connect: those of the setting, and the service's own, which
    clients that are no browser like to name."""
    if origin is None:
        return False
    return origin in allowed or origin.partition("://")[2] == environ.get("HTTP_HOST")
