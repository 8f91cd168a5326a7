"""Limits how many sockets a person may have, over all instances."""

from __future__ import annotations

import logging

from ticket_service.realtime.rooms import Rooms
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.person_sockets import PersonSockets, Report
from ticket_service.stores.redis import RedisUnavailable

MAX_SOCKETS = 20
"""Sockets of one person: many tabs, each of which may have left a dead socket behind."""

log = logging.getLogger(__name__)


class SocketLimit:
    """Counts the sockets of each person on this instance, and reports the counts to Redis."""

    def __init__(self, sockets: PersonSockets, rooms: Rooms) -> None:
        self._sockets = sockets
        self._rooms = rooms
        self._coalescer: Coalescer[Report] = Coalescer()
        self._unreported: set[str] = set()
        """People whose count could not be reported, as Redis did not answer."""

    def admit(self, user_id: str) -> bool:
        """Whether the person may keep the socket that `Rooms.add_client` has just added. Without
        Redis only the sockets of this instance count."""
        if self._rooms.sockets_of(user_id) > MAX_SOCKETS:
            return False
        return self._report(user_id).accepted

    def release(self, user_id: str) -> bool:
        """Stop counting an admitted socket, after `Rooms.remove_client`, and extend the person's
        session. Returns False if Redis has none."""
        return self._report(user_id).session

    def report(self) -> None:
        """Report that this instance is alive, and the counts that could not be reported before.

        Call it every second. Raises RedisUnavailable.
        """
        self._sockets.heartbeat()
        while self._unreported:
            if not self._report(user_id := self._unreported.pop()).accepted:
                log.info("more sockets than a person may have", extra={"user_id": user_id})
            if user_id in self._unreported:
                return

    def _report(self, user_id: str) -> Report:
        """Report the person's count, one call at a time, so that the latest count stays."""
        try:
            return self._coalescer.run(
                user_id, lambda: self._sockets.report(user_id, self._rooms.sockets_of(user_id))
            )
        except RedisUnavailable:
            self._unreported.add(user_id)
            return Report(accepted=True, session=False)
