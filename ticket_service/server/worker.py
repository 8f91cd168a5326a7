"""gunicorn's gevent worker, fair between connections, and quick to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from socket import socket
from types import FrameType
from typing import Any

import gevent
from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.ggevent import GeventWorker

from ticket_service.http.responses import REQUEST_ID, SECURITY_HEADERS, error_body, new_request_id
from ticket_service.messages import sentence
from ticket_service.server.connections import (
    CLIENT_TIMEOUT,
    LAST_WORD,
    MAX_DISCARDED,
    Connections,
    HeadTimeout,
    Incoming,
    Parser,
    hang_up,
)

IDLE_GRACE = 0.5
"""Seconds after SIGTERM, and then again and again, when idle connections are closed."""

_STATUS_OF_ERROR: dict[type[BaseException], int] = {
    HeadTimeout: 408,
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
}


class Worker(GeventWorker):
    """Serves connections in turn, and closes idle ones when told to stop.

    A browser or a proxy keeps connections open for their next request. The parent takes each for
    work in progress, and so sits out its whole graceful_timeout.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = Connections(self.worker_connections)
        self._stopping = False
        self.on_drain: Callable[[], None] = lambda: None
        """Called when the worker is told to stop; when it returns, no connection is taken any more
        and `on_stop` is called, while requests in flight are still served."""
        self.on_stop: Callable[[], None] = lambda: None

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve the requests of one connection, until either side wants no more.

        The parent would wait for a head as long as for the first byte of one, and for a body for
        ever.
        """
        incoming = Incoming(client, self._connections, self.cfg.keepalive)
        parser = Parser(self.cfg, incoming, addr)
        request = None
        with self._connections.place():
            try:
                listener_name = listener.getsockname()
                while True:
                    # A client that always answers at once must not keep its place at the front.
                    gevent.sleep(0)
                    request = None
                    request = next(parser)
                    self.handle_request(listener_name, request, client, addr)
            except StopIteration:
                pass
            except OSError as error:
                self.log.debug("the client is gone", extra={"error": type(error).__name__})
            except Exception as error:
                self.handle_error(request, client, addr, error)
            finally:
                hang_up(client)
                util.close(client)

    def handle_request(self, listener_name: Any, req: Any, sock: socket, addr: Any) -> Any:
        """Serve one request to a client that may not stop taking its answer for long."""
        if getattr(req.body.reader, "length", 0) > MAX_DISCARDED:
            req.force_close()  # if nobody wants the body, and the answer must say so
        sock.settimeout(CLIENT_TIMEOUT)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            self.log.info("client too slow")
            raise StopIteration from error  # `handle` closes the connection

    def handle_error(self, req: Any, client: socket, addr: Any, exc: BaseException) -> None:
        """Answer what the application never saw: 400, 408, 414, 431 in the shape all errors have.

        The parent answers HTML, some of them with 500, and logs the header that it did not like,
        which may be a token.
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
            client.settimeout(LAST_WORD)
            client.sendall("\r\n".join([*lines, "", ""]).encode() + answer.body)
        hang_up(client, patience=LAST_WORD)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, perhaps not the first."""
        if not self._stopping:
            self._stopping = True
            gevent.spawn(self._wind_down)

    def _wind_down(self) -> None:
        """Let the loop in `run` end, and close what is idle until it has."""
        self.on_drain()
        self.alive = False
        gevent.spawn(self.on_stop)
        while True:
            gevent.sleep(IDLE_GRACE)
            self._connections.close_idle()
