"""The loops of one instance, started and stopped with the worker."""

from __future__ import annotations

from collections.abc import Sequence

import gevent
from gevent import Greenlet

from ticket_service.server.loops import Loop
from ticket_service.services.health import Health
from ticket_service.sockets.server import Sockets


class Background:
    """Runs the loops of an instance, and stops it."""

    def __init__(
        self,
        endless: Sequence[Loop],
        loops: Sequence[Loop],
        sockets: Sockets,
        health: Health,
        *,
        drain_seconds: float,
    ) -> None:
        """`endless`: loops that run until the process ends. `loops`: those that run until the
        worker is told to stop."""
        self._endless = endless
        self._loops = loops
        self._sockets = sockets
        self._health = health
        self._drain_seconds = drain_seconds
        self._greenlets: list[Greenlet[..., None]] = []

    def start(self) -> None:
        """Start the loops, in the worker."""
        for loop in self._endless:  # requests in flight still announce changes during a stop
            gevent.spawn(loop.run)
        self._greenlets = [gevent.spawn(loop.run) for loop in self._loops]
        self._health.loops = [*self._endless, *self._loops]

    def drain(self) -> None:
        """Fail readiness, and wait DRAIN_SECONDS for the load balancer to notice."""
        self._health.stopping = True
        gevent.sleep(self._drain_seconds)

    def stop(self) -> None:
        """Close the sockets and end the loops. Then close new sockets until the process ends."""
        self._sockets.close()
        gevent.killall(self._greenlets)
        self._sockets.close_latecomers()
