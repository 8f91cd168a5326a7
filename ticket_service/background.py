"""The loops: what every instance does by itself, as long as its worker lives."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from gevent import Greenlet

from ticket_service.config import Settings
from ticket_service.errors import ServiceUnavailable
from ticket_service.services import Services
from ticket_service.sockets import Sockets
from ticket_service.stores.sessions import SESSION_TTL

ADMISSION_INTERVAL = 0.25
"""Seconds: a free place waits for the next in line so long at most, where a second is promised."""

SIGNS_PER_STAY = 4
"""How often the people with open sockets give a sign of life, within the time that one lasts."""

BUS_LOOPS = 2
"""Loops at the beginning of the list that send and receive, until the process ends."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at what other programs changed, and at whose token has ended."""

log = logging.getLogger(__name__)


class Background:
    """The loops of one instance, and its end."""

    def __init__(self, services: Services, sockets: Sockets, settings: Settings) -> None:
        self._services = services
        self._sockets = sockets
        self._settings = settings
        self._loops: list[Greenlet[..., None]] = []

    def start(self) -> None:
        """Start the loops, in the worker."""
        services, settings = self._services, self._settings
        shortest_stay = min(settings.queue_ttl_seconds, settings.queue_no_show_seconds)
        self._loops = [
            gevent.spawn(services.bus.send_forever),
            gevent.spawn(services.bus.listen_forever),
            *(
                gevent.spawn(_forever, work, interval)
                for work, interval in (
                    (services.admissions.admit, ADMISSION_INTERVAL),
                    (services.admissions.keep_places, shortest_stay / SIGNS_PER_STAY),
                    (services.watches.look, LOOK_INTERVAL),
                    (services.presence.report, settings.update_seconds),
                    (self._sockets.close_unwelcome, LOOK_INTERVAL),
                    (self._sockets.remember_all, SESSION_TTL / SIGNS_PER_STAY),
                )
            ),
        ]

    def drain(self) -> None:
        """Fail readiness, and wait until the load balancer has noticed."""
        self._services.health.stopping = True
        gevent.sleep(self._settings.drain_seconds)

    def stop(self) -> None:
        """Close the sockets, end the loops, and let no socket keep the process from its end."""
        self._sockets.close()
        gevent.killall(self._loops[BUS_LOOPS:])  # requests in flight still have things to tell
        self._sockets.close_latecomers()


def _forever(work: Callable[[], None], interval: float) -> None:
    """Work, and rest for `interval` seconds, whatever happens."""
    while True:
        try:
            work()
        except ServiceUnavailable:
            log.warning("loop without a dependency", extra={"loop": work.__name__})
        except Exception:
            log.exception("unhandled", extra={"loop": work.__name__})
        gevent.sleep(interval)
