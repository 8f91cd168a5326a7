"""How many sockets a person may have, over all instances."""

from __future__ import annotations

import logging

from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.person_sockets import PersonSockets
from ticket_service.stores.redis import RedisUnavailable

MAX_SOCKETS = 20
"""Of one person: many tabs, each of which may have left a dead socket behind just now."""

log = logging.getLogger(__name__)


class SocketLimit:
    """The sockets of this instance, counted by person."""

    def __init__(self, sockets: PersonSockets, rooms: Rooms) -> None:
        self._sockets = sockets
        self._rooms = rooms
        self._coalescer: Coalescer[bool] = Coalescer()
        self._unsaid: set[str] = set()
        """People whose number of sockets here Redis could not be told."""

    def admit(self, user_id: str) -> bool:
        """Whether the person may have the socket that has just arrived. Without Redis only those
        of this instance count."""
        if self._rooms.sockets_of(user_id) > MAX_SOCKETS:
            return False
        return self._say(user_id)

    def left(self, user_id: str) -> None:
        """Count one socket less, of those that were admitted; it is gone already."""
        self._say(user_id)

    def report(self) -> None:
        """Say that this instance lives, and what could not be said before; to be called every
        second. Raises RedisUnavailable."""
        self._sockets.call()
        while self._unsaid:
            if not self._say(user_id := self._unsaid.pop()):
                log.info("more sockets than a person may have", extra={"user_id": user_id})
            if user_id in self._unsaid:
                return

    def _say(self, user_id: str) -> bool:
        """Say how many there are now; one at a time of each person, so that the last one counts."""
        try:
            return self._coalescer.run(
                user_id, lambda: self._sockets.count(user_id, self._rooms.sockets_of(user_id))
            )
        except RedisUnavailable:
            self._unsaid.add(user_id)
            return True
