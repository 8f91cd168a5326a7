"""Every private part of a library that we rely on.

A release of the library may change such a part without notice. The tables below list each part,
with its parameters in the version that was read, and why we need it. At the start, `check` compares
them with what is installed. Subclasses of private classes are where they are used; other code that
touches a private part is a function of this module. Names in the WSGI environment (`RAW_URI`,
`gunicorn.socket`) cannot be checked here: tests/test_websocket_frames.py fails without them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple


class Part(NamedTuple):
    """One private part."""

    path: str
    """Module and name, with a colon between them."""
    parameters: str | None
    """The names of a function's parameters; None for an attribute, which the class must have or set
    in `__init__`."""
    why: str
    uses: str = ""
    """A name that its code must look up, so that our replacement of that name is used."""


class Library(NamedTuple):
    """A library, and what we use of it."""

    package: str
    version: str
    """The version in which the parts were read."""
    parts: list[Part]


class LibraryChanged(Exception):
    """A private part has changed. The message says which, and what to do."""


_SOCKET = "engineio.socket:Socket"
_ENGINE = "engineio.server:Server"

ENGINEIO = Library(
    "python-engineio",
    "4.15.1",
    [
        Part(
            f"{_ENGINE}._handle_connect",
            "self environ start_response transport jsonp_index",
            "opens a connection, and looks up the class of sockets, for which there is no setting;"
            " wrapped to refuse new connections when there are too many",
            uses="Socket",
        ),
        Part(f"{_ENGINE}.disconnect", "self sid", "replaced: it would wait for the client"),
        Part(f"{_ENGINE}._bad_request", "self message", "the answer to a second upgrade"),
        Part(f"{_ENGINE}.sockets", None, "the open sockets by engine id, to send and to close"),
        Part(f"{_SOCKET}.__init__", "self server sid", "adds a budget to each socket"),
        Part(f"{_SOCKET}.send", "self pkt", "writes to our WebSocket; bounds what waits"),
        Part(f"{_SOCKET}.receive", "self pkt", "counts packets"),
        Part(f"{_SOCKET}.poll", "self", "ends a session that is polled twice at once"),
        Part(f"{_SOCKET}.handle_post_request", "self environ", "bounds bodies before a sign-in"),
        Part(f"{_SOCKET}.close", "self wait abort reason", "closes our WebSocket and timer too"),
        Part(f"{_SOCKET}.schedule_ping", "self", "a timer in place of a greenlet"),
        Part(f"{_SOCKET}.check_ping_timeout", "self", "before we write past the queue"),
        Part(
            f"{_SOCKET}._upgrade_websocket",
            "self environ start_response",
            "makes our WebSocket in place of simple-websocket's",
        ),
        Part(f"{_SOCKET}._websocket_handler", "self ws", "reads it, with one greenlet, not three"),
        Part(f"{_SOCKET}.server", None, "its ping times and reasons"),
        Part(f"{_SOCKET}.queue", None, "what waits for a poll; dropped with the upgrade"),
        Part(f"{_SOCKET}.last_ping", None, "set when our timer sends the ping"),
        Part(f"{_SOCKET}.connected", None, "whether a WebSocket is new or an upgrade"),
        Part(f"{_SOCKET}.upgrading", None, "polls are answered at once during an upgrade"),
        Part(f"{_SOCKET}.upgraded", None, "ends polling after it"),
        Part(f"{_SOCKET}.closing", None, "no ping to one that is closing"),
        Part(f"{_SOCKET}.closed", None, "no packet to one that is closed"),
    ],
)

_MANAGER = "socketio.manager:Manager"

SOCKETIO = Library(
    "python-socketio",
    "5.18.1",
    [
        Part(
            "socketio.server:Server._handle_eio_message",
            "self eio_sid data",
            "handles a packet that we have checked",
        ),
        Part("socketio.server:Server.eio", None, "the Engine.IO server beneath"),
        Part("socketio.server:Server.packet_class", None, "decodes a packet, to check it"),
        Part("socketio.packet:Packet.encode", "self", "adds a pid to an accepted connection"),
        Part("socketio.packet:Packet.packet_type", None, "checked by the guard"),
        Part("socketio.packet:Packet.data", None, "checked by the guard"),
        Part(f"{_MANAGER}.__init__", "self", "subclassed: rooms that send to all at once"),
        Part(f"{_MANAGER}.server", None, "finds the sockets of a room"),
        Part(f"{_MANAGER}.rooms", None, "who is in a room: engine ids by socket id"),
        Part(f"{_MANAGER}.enter_room", "self sid namespace room eio_sid", "joins a room"),
        Part(f"{_MANAGER}.leave_room", "self sid namespace room", "leaves a room"),
        Part(f"{_MANAGER}.sid_from_eio_sid", "self eio_sid namespace", "whether it signed in"),
        Part(f"{_MANAGER}.eio_sid_from_sid", "self sid namespace", "whether it is closed"),
    ],
)

_WORKER = "gunicorn.workers.ggevent:GeventWorker"
_PARSER = "gunicorn.http.parser:RequestParser"
_REQUEST = "gunicorn.http.message:Request"
_UNREADER = "gunicorn.http.unreader:SocketUnreader"

GUNICORN = Library(
    "gunicorn",
    "27.0.1",
    [
        Part(f"{_WORKER}.__init__", "self args kwargs", "adds the list of connections"),
        Part(f"{_WORKER}.run", "self", "accepts connections", uses="server_class"),
        Part(f"{_WORKER}.server_class", None, "what accepts connections"),
        Part(f"{_WORKER}.handle", "self listener client addr", "gives turns and time-outs"),
        Part(
            f"{_WORKER}.handle_request",
            "self listener_name req sock addr",
            "ends a response that a client does not take",
        ),
        Part(f"{_WORKER}.handle_error", "self req client addr exc", "refusals are JSON, not HTML"),
        Part(f"{_WORKER}.handle_exit", "self sig frame", "SIGTERM: drains before it stops"),
        Part(f"{_WORKER}.alive", None, "ends its loop when False"),
        Part(f"{_WORKER}.cfg", None, "the time that a connection may be idle"),
        Part(f"{_WORKER}.log", None, "its log"),
        Part(f"{_WORKER}.worker_connections", None, "how many places there are"),
        Part("gunicorn.util:close", "sock", "closes a connection that may be closed"),
        Part(f"{_PARSER}.__init__", "self cfg source source_addr", "reads through our unreader"),
        Part(f"{_PARSER}.__next__", "self", "makes our class of requests", uses="mesg_class"),
        Part(f"{_PARSER}.mesg_class", None, "ours tells where a head begins and ends"),
        Part(f"{_PARSER}.unreader", None, "replaced by ours"),
        Part(f"{_PARSER}.finish_body", "self deadline max_bytes", "bounds what is discarded"),
        Part(f"{_REQUEST}.parse", "self unreader", "where a head begins and ends"),
        Part(f"{_REQUEST}.should_close", "self", "also after a broken body"),
        Part(f"{_REQUEST}.force_close", "self", "after a body that is too large to discard"),
        Part(f"{_REQUEST}.max_buffer_headers", None, "bounds the trailers as well"),
        Part(f"{_REQUEST}.body", None, "its length, and whether it was broken"),
        Part("gunicorn.http.body:Body.reader", None, "has the length"),
        Part("gunicorn.http.body:Body.failed", None, "whether it was broken"),
        Part("gunicorn.http.body:LengthReader.length", None, "how much of a body is to come"),
        Part(f"{_UNREADER}.__init__", "self sock max_chunk", "subclassed: every wait has an end"),
        Part(f"{_UNREADER}.chunk", "self size_hint", "the next bytes, with time-outs and limits"),
        Part(f"{_UNREADER}.sock", None, "what the bytes are read from"),
        Part(f"{_UNREADER}.buf", None, "what was read of the next request already"),
        Part("gunicorn.glogging:Logger.setup", "self cfg", "all logs are JSON"),
        Part("gunicorn.glogging:Logger.access", "self resp req environ request_time", "as JSON"),
    ],
)

GEVENT = Library(
    "gevent",
    "26.9.0",
    [
        Part("gevent.server:StreamServer.do_read", "self", "turns connections away"),
        Part("gevent.server:StreamServer.max_accept", None, "lets in a few at a time"),
        Part("gevent.socket:socket._sock", None, "ends reading without failing a wait"),
        Part("gevent.socket:socket.send", "self data flags timeout", "0.0: does not wait"),
    ],
)

SMOREST = Library(
    "flask-smorest",
    "0.47.0",
    [
        Part("flask_smorest:Api._register_error_handlers", "self", "empty: errors.py has them"),
        Part("flask_smorest:Api.ERROR_SCHEMA", None, "the shape of our errors"),
        Part("flask_smorest:Api.DEFAULT_ERROR_RESPONSE_NAME", None, "each answer is described"),
        Part(
            "flask_smorest:Blueprint.arguments",
            "self schema location content_type required description example examples kwargs",
            "describes what is read, as `_apidoc`",
        ),
        Part(
            "flask_smorest:Blueprint.response",
            "self status_code schema content_type description example examples headers",
            "describes the usual answer by `alt_response`",
        ),
        Part(
            "flask_smorest:Blueprint.alt_response",
            "self status_code response schema content_type description example examples headers"
            " success",
            "describes an answer, as `_apidoc`",
        ),
        Part("flask_smorest:Blueprint.doc", "kwargs", "describes a view, as `_apidoc`"),
    ],
)

JWT_EXTENDED = Library(
    "flask-jwt-extended",
    "4.7.4",
    [
        Part("flask_jwt_extended:JWTManager.__init__", "self app add_context_processor", "ours"),
        Part(
            "flask_jwt_extended:JWTManager._decode_jwt_from_config",
            "self encoded_token csrf_value allow_expired",
            "reads a token once, not four times",
        ),
    ],
)

LIBRARIES = [ENGINEIO, SOCKETIO, GUNICORN, GEVENT, SMOREST, JWT_EXTENDED]


def check() -> None:
    """Raise LibraryChanged for the first part that differs from its table."""
    for library in LIBRARIES:
        for part in library.parts:
            if problem := _problem(part):
                raise LibraryChanged(
                    f"{library.package} {version(library.package)}: {part.path} {problem} (read in"
                    f" {library.version}; {part.why}). Install the version that requirements.txt"
                    " names, or adapt ticket_service/libraries/private_parts.py and what uses it."
                )


def _problem(part: Part) -> str | None:
    """Return how a part differs from its table, or None."""
    module, _, names = part.path.partition(":")
    *owners, name = names.split(".")
    try:
        owner: Any = reduce(getattr, owners, import_module(module))
    except (ImportError, AttributeError):
        return "does not exist"
    found = getattr(owner, name, None)
    if part.parameters is None:
        return None if hasattr(owner, name) or _is_set_by(owner, name) else "does not exist"
    if not callable(found):
        return "does not exist"
    parameters = " ".join(inspect.signature(found).parameters)
    if parameters != part.parameters:
        return f"has the parameters ({parameters}), not ({part.parameters})"
    if part.uses and part.uses not in found.__code__.co_names:
        return f"does not use {part.uses}"
    return None


def _is_set_by(owner: type, name: str) -> bool:
    """Whether the `__init__` of this class or of a base class names this attribute."""
    inits = (vars(cls).get("__init__") for cls in owner.__mro__)
    return any(name in init.__code__.co_names for init in inits if inspect.isfunction(init))


# The functions take python-socketio's server, which has no types.


def use_sockets(socket_class: type) -> None:
    """Make Engine.IO use this class for the sockets of all clients, in the whole process."""
    import_module("engineio.socket").Socket = socket_class  # type: ignore[attr-defined]


def open_sockets(server: Any) -> dict[str, Any]:
    """Return the sockets of Engine.IO by their ids; not a copy."""
    sockets: dict[str, Any] = server.eio.sockets
    return sockets


def take_messages(server: Any, handle: Callable[[str, str | bytes], None]) -> None:
    """Have this handle each message of Engine.IO, instead of python-socketio."""
    server.eio.on("message", handle)


def pass_message_on(server: Any, engine_sid: str, data: str | bytes) -> None:
    """Have python-socketio handle a message."""
    server._handle_eio_message(engine_sid, data)


def replace_disconnect(server: Any, disconnect: Callable[..., None]) -> None:
    """Have this called when python-socketio disconnects a client."""
    server.eio.disconnect = disconnect


def wrap_connect(server: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Wrap the function that opens a connection and returns the response."""
    server.eio._handle_connect = wrap(server.eio._handle_connect)


def bad_request(engine: Any) -> Any:
    """Return the 400 response of Engine.IO's server."""
    return engine._bad_request()


def raw_socket(sock: Any) -> Any:
    """Return the socket that one of gevent's wraps."""
    return sock._sock
