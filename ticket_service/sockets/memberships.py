"""Which rooms a socket is in, and the session that remembers them for the next socket."""

from __future__ import annotations

import logging
import time
from typing import Any

from ticket_service.errors import TooManyRooms
from ticket_service.realtime.rooms import MAX_ROOMS, Client, Rooms
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.sessions import Sessions

log = logging.getLogger(__name__)


class Memberships:
    """Joins and leaves rooms. Every method that takes a socket's id raises SocketGone."""

    def __init__(self, rooms: Rooms, sessions: Sessions) -> None:
        self._rooms = rooms
        self._sessions = sessions

    def ask_to_join(self, sid: str, room: str) -> None:
        """Count the message, and remember the room. Raises TooManyRooms and RateLimited."""
        if not self._rooms.may_join(sid, room):
            raise TooManyRooms(limit=MAX_ROOMS)
        self.remember(self._rooms.client(sid), joined=[room], message=True)

    def join(self, sid: str, room: str) -> None:
        """Put the socket into a room that `ask_to_join` allowed."""
        self._rooms.join(sid, room)

    def leave(self, sid: str, room: str) -> None:
        """Count the message, and leave and forget the room. Raises RateLimited."""
        self.remember(self._rooms.client(sid), left=room, message=True)
        self._rooms.leave(sid, room)

    def note_place(self, sid: str, event_id: str, status: str) -> None:
        """Remember whether this socket knows that the person may enter."""
        entries = self._rooms.client(sid).entries
        entries.pop(event_id, None)
        if status == "active":
            entries[event_id] = time.monotonic()

    def remember(self, client: Client, **change: Any) -> None:
        """Change a session, see `Sessions.update`, if Redis can be asked. Raises RateLimited."""
        try:
            self._sessions.update(client.user_id, **change)
        except RedisUnavailable:
            log.warning("session not kept")

    def remember_all(self) -> None:
        """Keep the sessions of those who are here; to be called well within their time to live."""
        for client in list(self._rooms.clients.values()):
            self.remember(client, kept=client.rooms)
