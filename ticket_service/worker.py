"""gunicorn's gevent worker, fair between connections, and quick to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from socket import SHUT_WR, socket
from types import FrameType
from typing import Any

import gevent
from gevent.timeout import Timeout
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.ggevent import GeventWorker

from ticket_service.exchange import REQUEST_ID, error_body, new_request_id
from ticket_service.messages import sentence

IDLE_GRACE = 0.5
"""Seconds after SIGTERM, and then again and again, when idle connections are closed."""


CLIENT_TIMEOUT = 10.0
"""Seconds in which a client must send or take some bytes of its request or response."""

LAST_WORD = 1.0
"""Seconds that a client with a broken request has to take its answer and hang up."""

_STATUS_OF_ERROR: dict[type[BaseException], int] = {LimitRequestLine: 414, LimitRequestHeaders: 431}


class Worker(GeventWorker):
    """Serves connections in turn, and closes idle ones when told to stop.

    A browser or a proxy keeps connections open for their next request. The parent takes each for
    work in progress, and so sits out its whole graceful_timeout.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[_Idle, Any] = {}
        self._stopping = False
        self.on_drain: Callable[[], None] = lambda: None
        """Called when the worker is told to stop; when it returns, no connection is taken any more
        and `on_stop` is called, while requests in flight are still served."""
        self.on_stop: Callable[[], None] = lambda: None

    def timeout_ctx(self) -> _Idle:  # type: ignore[override] # the stubs say None
        """The wait for the next request of a connection, behind everyone who is ready now.

        A client that always answers at once would otherwise keep its place at the front.
        """
        gevent.sleep(0)
        return _Idle(self.cfg.keepalive, self._idle)

    def handle_request(self, listener_name: Any, req: Any, sock: socket, addr: Any) -> Any:
        """Serve one request to a client that may not stop reading or sending for long."""
        sock.settimeout(CLIENT_TIMEOUT)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            self.log.info("client too slow")
            raise StopIteration from error  # the parent closes the connection
        finally:
            sock.settimeout(None)

    def handle_error(self, req: Any, client: socket, addr: Any, exc: BaseException) -> None:
        """Answer what the application never saw: 400, 414 or 431 in the shape all errors have.

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
            headers=[("X-Request-ID", request_id), ("Connection", "close")],
        )
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        with suppress(OSError), Timeout(LAST_WORD, False):  # type: ignore[arg-type] # as below
            client.sendall("\r\n".join([*lines, "", ""]).encode() + answer.body)
            # Closing with something unread would reset the connection before the answer is read.
            client.shutdown(SHUT_WR)
            while client.recv(65_536):
                pass

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
        self._close_idle()

    def _close_idle(self) -> None:
        loop = gevent.get_hub().loop
        while True:
            gevent.sleep(IDLE_GRACE)
            for idle in list(self._idle):
                loop.run_callback(self._end, idle)

    def _end(self, idle: _Idle) -> None:
        """Called by the hub, so that no request can begin between the look and the throw."""
        if idle in self._idle:
            self._idle[idle].throw(idle)


class _Idle(Timeout):
    """A time-out that ends its block without an exception, and knows which greenlet is in it."""

    def __init__(self, seconds: float, idle: dict[_Idle, Any]) -> None:
        super().__init__(seconds, False)  # type: ignore[arg-type] # the stubs do not know it
        self._idle = idle

    def __enter__(self) -> _Idle:
        self._idle[self] = gevent.getcurrent()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        del self._idle[self]
        return super().__exit__(*error)
