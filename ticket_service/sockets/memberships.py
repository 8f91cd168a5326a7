"""Joining and leaving rooms, and the session that keeps a person's rooms for their next socket."""

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
    """Joins and leaves rooms. Methods that take a socket's id raise SocketGone."""

    def __init__(self, rooms: Rooms, sessions: Sessions) -> None:
        self._rooms = rooms
        self._sessions = sessions

    def request_join(self, sid: str, room: str) -> None:
        """Count the message, and add the room to the session. Call it before `join`.

        Raises TooManyRooms and RateLimited.
        """
        if not self._rooms.can_join(sid, room):
            raise TooManyRooms(limit=MAX_ROOMS)
        self.update_session(self._rooms.client(sid), joined=[room], message=True)

    def join(self, sid: str, room: str) -> None:
        """Put the socket into a room that `request_join` allowed."""
        self._rooms.join(sid, room)

    def leave(self, sid: str, room: str) -> None:
        """Count the message, leave the room, and take it out of the session. Raises
        RateLimited."""
        self.update_session(self._rooms.client(sid), left=room, message=True)
        self._rooms.leave(sid, room)

    def record_place(self, sid: str, event_id: str, status: str) -> None:
        """Record whether this socket was told that the person may enter: `status` is theirs in
        the waiting room."""
        entries = self._rooms.client(sid).entries
        entries.pop(event_id, None)
        if status == "active":
            entries[event_id] = time.monotonic()

    def update_session(self, client: Client, **change: Any) -> None:
        """Call `Sessions.update`; skip it without Redis. Raises RateLimited."""
        try:
            self._sessions.update(client.user_id, **change)
        except RedisUnavailable:
            log.warning("session not kept")

    def refresh_sessions(self) -> None:
        """Extend the sessions of all connected people. Call it well within SESSION_TTL."""
        for client in list(self._rooms.clients.values()):
            self.update_session(client, kept=client.rooms)
