"""Connecting and disconnecting: tokens are checked, and the rooms of lost connections restored."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import gevent
from cachetools import TTLCache
from socketio.exceptions import ConnectionRefusedError

from ticket_service.errors import (
    AuthenticationRequired,
    InvalidToken,
    ServiceError,
    TooManyRequests,
    TooManySockets,
)
from ticket_service.http.limits import Limits
from ticket_service.http.tokens import Caller, TokenVerifier
from ticket_service.realtime import events
from ticket_service.realtime.event_feed import EventFeed
from ticket_service.realtime.presence import PresenceReporter
from ticket_service.realtime.rooms import Client, Rooms, SocketGone
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.realtime.socket_limit import MAX_SOCKETS, SocketLimit
from ticket_service.services.waiting_room import WaitingRoom
from ticket_service.sockets.answers import current_sid, handshake, refusal
from ticket_service.sockets.memberships import Memberships
from ticket_service.stores.event_info import EventInfos
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.sessions import Sessions

REMEMBERED_SECONDS = 60.0
"""For so long the numbers are remembered that a lost connection was told."""

MAX_REMEMBERED = 10_000
"""Lost connections that are remembered; about 550 bytes each."""

log = logging.getLogger(__name__)


class SignIn:
    """The handlers of `connect` and `disconnect`."""

    def __init__(
        self,
        verifier: TokenVerifier,
        limits: Limits,
        rooms: Rooms,
        socket_limit: SocketLimit,
        sessions: Sessions,
        memberships: Memberships,
        restorer: Restorer,
    ) -> None:
        self._verifier = verifier
        self._limits = limits
        self._rooms = rooms
        self._socket_limit = socket_limit
        self._sessions = sessions
        self._memberships = memberships
        self._restorer = restorer
        self._told: TTLCache[str, dict[str, int]] = TTLCache(
            MAX_REMEMBERED, REMEMBERED_SECONDS, timer=time.monotonic
        )
        """`Client.told` of lost connections, by socket id, which is their pid."""

    def connect(self, auth: object = None) -> None:
        """Accept a socket with a valid token. If it follows a lost one, restore its rooms in the
        background: it shows the pid of that one (guard.NumberedPacket).

        Raises socketio's ConnectionRefusedError without one, with too many sockets, or too often.
        """
        auth = auth if isinstance(auth, Mapping) else {}
        try:
            caller = self._caller(auth.get("token"))
        except TooManyRequests as error:
            problem = refusal(error)
            raise ConnectionRefusedError(problem["error"], problem) from error
        except ServiceError as error:
            problem = refusal(error)
            raise ConnectionRefusedError(f"authentication: {problem['error']}", problem) from error
        sid, follows = current_sid(), auth.get("pid")
        client = Client(caller.user_id, caller.expires_at)
        if isinstance(follows, str):
            client.told = self._told_to(follows)
        self._rooms.add_client(sid, client)
        admitted = self._socket_limit.admit(caller.user_id)
        if not admitted or self._rooms.is_closed(sid):  # `disconnect` was not called
            self._rooms.remove_client(sid)
            if admitted:
                gevent.spawn(self._socket_limit.release, caller.user_id)
            problem = refusal(TooManySockets(limit=MAX_SOCKETS))
            raise ConnectionRefusedError(problem["error"], problem)
        if isinstance(follows, str):
            gevent.spawn(self._restore, sid)  # after the connection is confirmed

    def _caller(self, token: object) -> Caller:
        """Return the owner of a token. Raises AuthenticationRequired, TokenExpired, InvalidToken or
        TooManyRequests."""
        if not isinstance(token, str):
            raise AuthenticationRequired
        try:
            caller = self._verifier.verify(token)
        except InvalidToken:
            self._limits.bad_tokens.hit(handshake())
            raise
        self._limits.sign_ins.hit(caller.user_id)
        return caller

    def disconnect(self, reason: str) -> None:
        """Forget a socket. The person keeps their session and their place in line for a while.

        Never waits, since the caller may be a greenlet that was sending to this socket.
        """
        client = self._rooms.clients.get(current_sid())
        self._rooms.remove_client(current_sid())
        if client is not None:
            if client.told:
                self._told[current_sid()] = client.told
            gevent.spawn(self._left, client)

    def _left(self, client: Client) -> None:
        if not self._socket_limit.release(client.user_id) and client.rooms:
            self._memberships.update_session(client, kept=client.rooms)  # Redis lost it

    def _told_to(self, pid: str) -> dict[str, int]:
        """What a connection was told that is lost, or that we still take for open."""
        lost = self._rooms.clients.get(pid)
        return dict(lost.told) if lost else self._told.pop(pid, {})

    def _restore(self, sid: str) -> None:
        """Put a socket into the latest room of each kind of the person's session."""
        try:
            client = self._rooms.client(sid)
            session = self._sessions.update(client.user_id)
            latest = {room.partition(":")[0]: room for room in session.rooms}
            for room in latest.values():
                try:
                    self._restorer.restore(sid, client, room)
                except ServiceError as error:  # the other rooms may be fine
                    log.info("room not restored", extra={"room": room, "code": error.code})
            if session.rooms:
                rooms = [room for room in latest.values() if room in client.rooms]
                self._rooms.send(events.session_restored(sid, rooms, session.chosen))
        except (SocketGone, RedisUnavailable):
            log.info("session not restored")


class Restorer:
    """Puts a socket back into the rooms of the one that it follows."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        event_infos: EventInfos,
        waiting_room: WaitingRoom,
        presence: PresenceReporter,
        seat_feed: SeatFeed,
        event_feed: EventFeed,
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._event_infos = event_infos
        self._waiting_room = waiting_room
        self._presence = presence
        self._seat_feed = seat_feed
        self._event_feed = event_feed

    def restore(self, sid: str, client: Client, room: str) -> None:
        """Put a socket into a room of its session, unless it is in too many rooms by now.

        Raises SocketGone, EventNotFound, ServiceUnavailable, QueueUnavailable.
        """
        if room in client.rooms or not self._rooms.can_join(sid, room):
            return
        kind, _, event_id = room.partition(":")
        self._event_infos.read(event_id)
        self._rooms.join(sid, room)
        client.restored.add(room)
        if kind == "event":
            self._presence.on_join(sid, event_id)
            self._event_feed.ensure_read(event_id)
        elif kind == "seats":
            self._seat_feed.ensure_read(event_id)
        else:
            place = self._waiting_room.status(client.user_id, event_id)
            self._memberships.record_place(sid, event_id, place["status"])
