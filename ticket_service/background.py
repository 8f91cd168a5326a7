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

ADMISSION_INTERVAL = 0.25
"""Seconds: a free place waits for the next in line so long at most, where a second is promised."""

SIGNS_PER_STAY = 4
"""How often the people with open sockets give a sign of life, within the time that one lasts."""

MOST_AT_ONCE = 1_000
"""People in one sign of life."""

log = logging.getLogger(__name__)


class Background:
    """The loops of one instance."""

    def __init__(self, services: Services, sockets: Sockets, settings: Settings) -> None:
        self._waiting_room = services.waiting_room
        self._rooms = services.rooms
        self._sockets = sockets
        self._sign_interval = settings.queue_ttl_seconds / SIGNS_PER_STAY
        self._loops: list[Greenlet[..., None]] = []

    def start(self) -> None:
        """Start the loops, in the worker."""
        self._loops = [
            gevent.spawn(_forever, self._admit, ADMISSION_INTERVAL),
            gevent.spawn(_forever, self._keep_places, self._sign_interval),
        ]

    def stop(self) -> None:
        """End the loops and close the sockets; their clients connect to another instance."""
        gevent.killall(self._loops)
        self._sockets.close()

    def _admit(self) -> None:
        self._waiting_room.look_after_lines(set(self._rooms.watchers()))

    def _keep_places(self) -> None:
        for event_id, users in self._rooms.watchers().items():
            for start in range(0, len(users), MOST_AT_ONCE):
                self._waiting_room.keep(event_id, users[start : start + MOST_AT_ONCE])


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
