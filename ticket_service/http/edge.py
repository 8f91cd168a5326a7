"""The outermost layer: what every response needs, whether Flask makes it or not.

It sets the request id and the headers for browsers, rewrites the gateway's spellings of paths,
decides what each port serves, and has a *fast lane*. Flask takes longer to find a route and build a
response than a cached document takes to send. So when a route has answered a URL with a public
document (http/access.py), the edge remembers the function that reads it, and calls that function at
the next GET of the same URL. Parsing and checks stay in the routes, and the function makes sure
that the document is fresh. Calls of signed-in people take the direct lane (http/direct.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import NotFound

from ticket_service import metrics
from ticket_service.errors import ServiceError, ServiceUnavailable
from ticket_service.http.direct import DirectLane
from ticket_service.http.errors import answer_to
from ticket_service.http.responses import (
    READ,
    REQUEST_ID,
    ROUTE,
    SECURITY_HEADERS,
    Answer,
    Environ,
    Read,
    StartResponse,
    cors_headers,
    current_environ,
    document_answer,
    error_answer,
    new_request_id,
)
from ticket_service.stores import deadline
from ticket_service.stores.sized_cache import SizedCache

WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

SOCKETS = "/socket.io/"
"""The path of the Socket.IO server, which checks origins itself."""

DOCS = "/api/v1/docs"
"""The path of the documentation page and its files."""

MAX_URL_BYTES = 4_000_000
"""Memory for remembered URLs. URLs with different queries are different."""

_ENTRY_BYTES = 1_000
"""Memory for a remembered URL beside its characters; 560 bytes were measured."""

_RESOURCES = re.compile(r"/api/(?:v1/)?(events|tickets|seats|reservations|queue)(?![^/])")
"""The paths that the gateway forwards: without the version, and with a slash at the end."""

_REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_ALLOWED = [
    ("Access-Control-Allow-Methods", "GET, POST, PUT, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-ID",
    ),
    ("Access-Control-Max-Age", "7200"),
]

_VARY = ("Vary", "Origin, Accept-Encoding, Accept-Language")

_HEADERS = [_VARY, *SECURITY_HEADERS]

# The page of Swagger UI brings its own scripts and styles, some of them inside the page.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
_DOCS_HEADERS = list((dict(_HEADERS) | {"Content-Security-Policy": _DOCS_POLICY}).items())


class Edge:
    """WSGI middleware around the Flask application and the Socket.IO server."""

    def __init__(
        self,
        app: WsgiApp,
        direct: DirectLane,
        sockets: WsgiApp,
        *,
        allowed_origins: Iterable[str],
        max_sockets: int,
        admin_port: int | None,
    ) -> None:
        """Wrap all three.

        Args:
            app: the Flask application.
            direct: what answers without it.
            sockets: the Socket.IO server.
            allowed_origins: the origins whose pages may call.
            max_sockets: how many requests of Socket.IO may be open, so that others find a place.
            admin_port: the only port that serves what is not public; None if there is none.
        """
        self._app = app
        self._direct = direct
        self._sockets = sockets
        self._max_sockets = max_sockets
        self._open_sockets = 0
        self._admin_port = str(admin_port) if admin_port else None
        self._reads: SizedCache[str, tuple[str, Read]] = SizedCache(MAX_URL_BYTES)
        metrics.KEPT_BYTES.labels("urls").set_function(lambda: self._reads.size)
        self._cors = {origin: cors_headers(origin) for origin in allowed_origins}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as WSGI defines it."""
        request_id = _request_id(environ.get("HTTP_X_REQUEST_ID"))
        environ[REQUEST_ID] = request_id
        current_environ.set(environ)
        path = environ["PATH_INFO"] = _canonical(environ["PATH_INFO"])
        headers = _DOCS_HEADERS if path.startswith(DOCS) else _HEADERS
        extra = [("X-Request-ID", request_id), *headers]
        for_sockets = path.startswith(SOCKETS)
        if not for_sockets:
            extra += self._cors.get(environ.get("HTTP_ORIGIN", ""), [])

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            write: Callable[[bytes], object] = start_response(status, headers + extra, exc_info)
            return write

        if self._admin_port and not self._is_served_here(environ):
            return answer_to(NotFound(), environ)(environ, start)
        if for_sockets:
            environ[ROUTE] = SOCKETS
            deadline.lift()  # of an earlier request on this connection
            return self._serve_socket(environ, start)
        deadline.start()
        return self._respond(environ, start)

    def _is_served_here(self, environ: Environ) -> bool:
        """Whether the port of this request serves its path. Both ports serve the probes.

        gunicorn takes SERVER_PORT from the listener, not from the client's Host header.
        """
        path: str = "/" + environ["PATH_INFO"].lstrip("/")  # as werkzeug's router reads it
        if path.startswith("/health"):
            return True
        is_admin = path.startswith(DOCS) or path in ("/metrics", "/api/v1/openapi.json")
        on_admin_port: bool = environ["SERVER_PORT"] == self._admin_port
        return is_admin == on_admin_port

    def _serve_socket(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Pass a request to Socket.IO. A GET may last long: it is a WebSocket or a long poll."""
        if environ["REQUEST_METHOD"] != "GET":
            return self._sockets(environ, start)
        if self._open_sockets >= self._max_sockets:
            return error_answer(ServiceUnavailable(), environ)(environ, start)
        self._open_sockets += 1
        try:
            return self._sockets(environ, start)
        finally:
            self._open_sockets -= 1

    def _respond(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            return Answer(204, _ALLOWED, b"")(environ, start)
        answer = self._read_again(environ) if method == "GET" else None
        answer = answer or self._direct.answer(environ)
        if answer is not None:
            return answer(environ, start)
        body = self._app(environ, start)
        if READ in environ and method == "GET":
            # The parsed query has its words once more, and a character takes up to four bytes.
            url: str = environ["RAW_URI"]
            self._reads.put(url, (environ[ROUTE], environ[READ]), _ENTRY_BYTES + 4 * len(url))
        return body

    def _read_again(self, environ: Environ) -> Answer | None:
        """Answer with the document of a URL that is remembered."""
        url: str = environ["RAW_URI"]
        remembered = self._reads.get(url)
        if remembered is None:
            return None
        environ[ROUTE], read = remembered
        try:
            return document_answer(read(), environ)
        except ServiceError as error:
            return error_answer(error, environ)
        except Exception:
            self._reads.remove(url)  # a bug: Flask runs into it again, and reports it
            return None


def _canonical(path: str) -> str:
    """The path as the routes have it, for both prefixes, with or without a slash at the end.

    No redirect, since a redirected POST loses its body.
    """
    if path.startswith("/api/v1/") and not path.endswith("/"):
        return path
    if resource := _RESOURCES.match(path):
        return "/api/v1/" + path[resource.start(1) :].removesuffix("/")
    return path


def _request_id(given: str | None) -> str:
    if given is not None and _REQUEST_ID_PATTERN.fullmatch(given):
        return given
    return new_request_id()
