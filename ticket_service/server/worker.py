"""gunicorn's gevent worker, which serves connections in turn and stops quickly."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from socket import socket
from types import FrameType
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.ggevent import GeventWorker

from ticket_service.http.responses import REQUEST_ID, SECURITY_HEADERS, error_body, new_request_id
from ticket_service.libraries import private_parts
from ticket_service.messages import sentence
from ticket_service.server.connections import (
    CLIENT_TIMEOUT,
    LINGER_TIMEOUT,
    MAX_DISCARDED,
    Connections,
    HeadTimeout,
    Incoming,
    Parser,
    RefusedUnread,
    hang_up,
)
from ticket_service.server.overload import EACH_ACCEPT, Overload

IDLE_GRACE = 0.5
"""Seconds after which idle connections are closed when the worker stops, again and again."""

log = logging.getLogger(__name__)

_STATUS_OF_ERROR: dict[type[BaseException], int] = {
    HeadTimeout: 408,
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
}


def tune_garbage_collection() -> None:
    """Leave alone what is here now, and search for cycles less often. Call it after the start."""
    gc.collect()
    gc.freeze()  # what is here stays; looking through it again stops everyone for 0.1 s
    # A request makes some thousand objects and hardly a cycle: by default it is searched for cycles
    # several times.
    gc.set_threshold(10_000)


class Doorkeeper(StreamServer):
    """Accepts connections, and turns some away while the instance is overloaded."""

    def __init__(self, overload: Overload, listener: Any, handle: Any, spawn: Any) -> None:
        self._overload = overload
        super().__init__(listener, handle, spawn=spawn)

    @property
    def max_accept(self) -> int:  # type: ignore[override] # gevent only reads it
        """How many connections are let in at most in one turn of the event loop."""
        return EACH_ACCEPT if self._overload.present else super().max_accept

    def do_read(self) -> Any:
        """Accept one connection. Returns None if there is none, or none is let in now."""
        if self._overload.present and self._overload.turn_is_full():
            return None
        for _ in range(EACH_ACCEPT):
            accepted = super().do_read()
            if accepted is None or not self._overload.present:
                return accepted
            client, _ = accepted
            if not self._overload.turns_away(private_parts.raw_socket(client)):
                return accepted
            client.close()
        return None


class Worker(GeventWorker):
    """Serves connections in turn, and closes idle ones when it stops.

    Browsers and proxies keep connections open for their next request. gunicorn's worker counts them
    as requests in progress, and so waits for its whole graceful_timeout.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = Connections(self.worker_connections)
        self._stopping = False
        self.overload = Overload()
        self.on_drain: Callable[[], None] = lambda: None
        """Called on SIGTERM. When it returns, the worker accepts no more connections and calls
        `on_stop`, while it still serves the requests in progress."""
        self.on_stop: Callable[[], None] = lambda: None

    def server_class(  # type: ignore[override] # a class to gunicorn, which only calls it
        self, listener: Any, *, spawn: Any, **_: Any
    ) -> Doorkeeper:
        """Make what accepts connections; gunicorn's gevent worker calls this."""
        return Doorkeeper(self.overload, listener, partial(self.handle, listener), spawn)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve the requests of one connection until either side closes it.

        gunicorn's worker waits for the rest of a head as long as for its first byte, and for a body
        without end.
        """
        incoming = Incoming(client, self._connections, self.overload, self.cfg.keepalive)
        parser = Parser(self.cfg, incoming, addr)
        request = None
        with self._connections.place():
            try:
                listener_name = listener.getsockname()
                while True:
                    # Let others run, also if this client always has its next request ready.
                    gevent.sleep(0)
                    request = None
                    request = next(parser)
                    self.handle_request(listener_name, request, client, addr)
            except StopIteration:
                pass
            except RefusedUnread as error:
                with suppress(OSError):
                    client.settimeout(LINGER_TIMEOUT)
                    client.sendall(self.overload.answer(error.received))
            except OSError as error:
                log.debug("the client is gone", extra={"error": type(error).__name__})
            except Exception as error:
                self.handle_error(request, client, addr, error)
            finally:
                hang_up(client)
                util.close(client)

    def handle_request(self, listener_name: Any, req: Any, sock: socket, addr: Any) -> Any:
        """Serve one request. A client that does not read its response is cut off."""
        if getattr(req.body.reader, "length", 0) > MAX_DISCARDED:
            req.force_close()  # the body may stay unread, and then the response must say "close"
        sock.settimeout(CLIENT_TIMEOUT)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            self.log.info("client too slow")
            raise StopIteration from error  # `handle` closes the connection

    def handle_error(self, req: Any, client: socket, addr: Any, exc: BaseException) -> None:
        """Answer what cannot be parsed with 400, 408, 414 or 431, in the shape of all errors.

        gunicorn's worker answers with HTML, in some cases with 500, and logs the invalid header,
        which may have a token in it.
        """
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status = _STATUS_OF_ERROR.get(type(exc), 400)
        request_id = new_request_id()
        self.log.info("not a request", extra={"status": status, "request_id": request_id})
        answer = error_body(
            status,
            "VALIDATION_ERROR",
            sentence("VALIDATION_ERROR", "ko"),
            {REQUEST_ID: request_id},
            headers=[("X-Request-ID", request_id), ("Connection", "close"), *SECURITY_HEADERS],
        )
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        with suppress(OSError):
            client.settimeout(LINGER_TIMEOUT)
            client.sendall("\r\n".join([*lines, "", ""]).encode() + answer.body)
        hang_up(client, patience=LINGER_TIMEOUT)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. SIGTERM may come more than once."""
        if not self._stopping:
            self._stopping = True
            gevent.spawn(self._wind_down)

    def _wind_down(self) -> None:
        """Let the loop in `run` end, and close idle connections until it has."""
        self.on_drain()
        self.alive = False
        gevent.spawn(self.on_stop)
        while True:
            gevent.sleep(IDLE_GRACE)
            self._connections.close_idle()
