"""The loops: what every instance does by itself, as long as its worker lives."""

from __future__ import annotations

from functools import partial

import gevent
from gevent import Greenlet

from ticket_service.config import Settings
from ticket_service.server.loops import Loop
from ticket_service.sockets.server import Sockets
from ticket_service.stores.sessions import SESSION_TTL
from ticket_service.wiring import Services

ADMISSION_INTERVAL = 0.25
"""Seconds: a free place waits for the next in line so long at most, where a second is promised."""

SIGNS_PER_STAY = 4
"""How often the people with open sockets give a sign of life, within the time that one lasts."""

EXPIRY_INTERVAL = 0.25
"""Seconds between two looks for holds and sales that end: within a second they are to be over."""

RESTART = 1.0
"""Seconds before something that should never end is started again."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at what other programs changed, and at whose token has ended."""


class Background:
    """The loops of one instance, and its end."""

    def __init__(self, services: Services, sockets: Sockets, settings: Settings) -> None:
        self._services = services
        self._sockets = sockets
        self._settings = settings
        self._greenlets: list[Greenlet[..., None]] = []

    def start(self) -> None:
        """Start the loops, in the worker."""
        services, settings = self._services, self._settings
        shortest_stay = min(settings.queue_ttl_seconds, settings.queue_no_show_seconds)
        bus = [
            Loop(name, work, partial(float, RESTART), endless=True)
            for name, work in (
                ("bus-send", services.bus.send_forever),
                ("bus-listen", services.bus.listen_forever),
            )
        ]
        loops = [
            Loop(name, work, partial(float, interval))
            for name, work, interval in (
                ("admission", services.admissions.admit, ADMISSION_INTERVAL),
                ("places", services.admissions.keep_places, shortest_stay / SIGNS_PER_STAY),
                ("expiry", services.expiry.end_holds, EXPIRY_INTERVAL),
                ("event-status", services.event_status.move, EXPIRY_INTERVAL),
                ("watch", services.watches.look, LOOK_INTERVAL),
                ("presence", services.presence.report, settings.update_seconds),
                ("connections", services.socket_limit.report, LOOK_INTERVAL),
                ("sockets", self._sockets.close_unwelcome, LOOK_INTERVAL),
                ("sessions", self._sockets.remember_all, SESSION_TTL / SIGNS_PER_STAY),
            )
        ]
        for loop in bus:  # until the process ends: requests in flight still have things to tell
            gevent.spawn(loop.run)
        self._greenlets = [gevent.spawn(loop.run) for loop in loops]
        services.health.loops = [*bus, *loops]

    def drain(self) -> None:
        """Fail readiness, and wait until the load balancer has noticed."""
        self._services.health.stopping = True
        gevent.sleep(self._settings.drain_seconds)

    def stop(self) -> None:
        """Close the sockets, end the loops, and let no socket keep the process from its end."""
        self._sockets.close()
        gevent.killall(self._greenlets)
        self._sockets.close_latecomers()
