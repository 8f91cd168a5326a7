"""The loops: what every instance does by itself, as long as its worker lives."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from gevent import Greenlet

from ticket_service.config import Settings
from ticket_service.errors import ServiceUnavailable
from ticket_service.realtime.events import queue
from ticket_service.services import Services
from ticket_service.sockets import Sockets

ADMISSION_INTERVAL = 0.25
"""Seconds: a free place waits for the next in line so long at most, where a second is promised."""

SIGNS_PER_STAY = 4
"""How often the people with open sockets give a sign of life, within the time that one lasts."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at what other programs changed, and at whose token has ended."""

MOST_AT_ONCE = 1_000
"""People in one sign of life."""

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
        self._loops = [
            gevent.spawn(services.bus.send_forever),
            gevent.spawn(services.bus.listen_forever),
            *(
                gevent.spawn(_forever, work, interval)
                for work, interval in (
                    (self._admit, ADMISSION_INTERVAL),
                    (self._keep_places, settings.queue_ttl_seconds / SIGNS_PER_STAY),
                    (services.watches.look, LOOK_INTERVAL),
                    (services.presence.report, settings.update_seconds),
                    (self._sockets.close_expired, LOOK_INTERVAL),
                    (self._sockets.close_strangers, LOOK_INTERVAL),
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
        gevent.killall(self._loops)
        self._sockets.close_latecomers()

    def _admit(self) -> None:
        self._services.waiting_room.look_after_lines(self._services.rooms.ids(queue("")))

    def _keep_places(self) -> None:
        for event_id, people in self._services.rooms.people(queue("")).items():
            users = list(people)
            for start in range(0, len(users), MOST_AT_ONCE):
                self._services.waiting_room.keep(event_id, users[start : start + MOST_AT_ONCE])


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
