"""gunicorn's gevent worker, fair between connections, and quick to stop."""

from __future__ import annotations

from types import FrameType
from typing import Any

import gevent
from gevent.timeout import Timeout
from gunicorn.workers.ggevent import GeventWorker

IDLE_GRACE = 0.5
"""Seconds after SIGTERM, and then again and again, when idle connections are closed."""


class Worker(GeventWorker):
    """Serves connections in turn, and closes idle ones when told to stop.

    A browser or a proxy keeps connections open for their next request. The parent takes each for
    work in progress, and so sits out its whole graceful_timeout.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[_Idle, Any] = {}

    def timeout_ctx(self) -> _Idle:  # type: ignore[override] # the stubs say None
        """The wait for the next request of a connection, behind everyone who is ready now.

        A client that always answers at once would otherwise keep its place at the front.
        """
        gevent.sleep(0)
        return _Idle(self.cfg.keepalive, self._idle)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: let the loop in `run` end, and close what is idle until it has."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._close_idle)

    def _close_idle(self) -> None:
        while True:
            gevent.sleep(IDLE_GRACE)
            for idle, waiting in list(self._idle.items()):
                waiting.kill(idle, block=False)


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
