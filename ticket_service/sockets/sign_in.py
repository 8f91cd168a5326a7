"""How a socket comes and goes: it shows a token, and is brought back to its rooms."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import gevent
from socketio.exceptions import ConnectionRefusedError

from ticket_service.errors import AuthenticationRequired, ServiceError, TooManySockets
from ticket_service.http.tokens import TokenVerifier
from ticket_service.realtime import events
from ticket_service.realtime.presence import PresenceReporter
from ticket_service.realtime.rooms import Client, Rooms, SocketGone
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.realtime.socket_limit import MAX_SOCKETS, SocketLimit
from ticket_service.realtime.stock_feed import StockFeed
from ticket_service.services.waiting_room import WaitingRoom
from ticket_service.sockets.answers import current_sid, refusal
from ticket_service.sockets.memberships import Memberships
from ticket_service.stores.event_info import EventInfos
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.sessions import Sessions

log = logging.getLogger(__name__)


class SignIn:
    """The handlers of `connect` and `disconnect`."""

    def __init__(
        self,
        verifier: TokenVerifier,
        rooms: Rooms,
        socket_limit: SocketLimit,
        sessions: Sessions,
        memberships: Memberships,
        restorer: Restorer,
    ) -> None:
        self._verifier = verifier
        self._rooms = rooms
        self._socket_limit = socket_limit
        self._sessions = sessions
        self._memberships = memberships
        self._restorer = restorer

    def connect(self, auth: object = None) -> None:
        """Let a socket in that shows a valid token, and bring it back to its rooms."""
        token = auth.get("token") if isinstance(auth, Mapping) else None
        try:
            if not isinstance(token, str):
                raise AuthenticationRequired
            caller = self._verifier.verify(token)
        except ServiceError as error:
            problem = refusal(error)
            raise ConnectionRefusedError(f"authentication: {problem['error']}", problem) from error
        sid = current_sid()
        self._rooms.arrived(sid, Client(caller.user_id, caller.expires_at))
        admitted = self._socket_limit.admit(caller.user_id)
        if not admitted or self._rooms.is_closed(sid):  # python-socketio would not tell us of it
            self._rooms.gone(sid)
            if admitted:
                gevent.spawn(self._socket_limit.left, caller.user_id)
            problem = refusal(TooManySockets(limit=MAX_SOCKETS))
            raise ConnectionRefusedError(problem["error"], problem)
        gevent.spawn(self._restore, sid)  # after the connection is confirmed

    def disconnect(self, reason: str) -> None:
        """Forget a socket. Its session stays, and its place in line, for a while.

        Never waits: whoever sends to a socket that does not read may be the one who closes it.
        """
        client = self._rooms.clients.get(current_sid())
        self._rooms.gone(current_sid())
        if client is not None:
            gevent.spawn(self._left, client)

    def _left(self, client: Client) -> None:
        self._socket_limit.left(client.user_id)
        self._memberships.remember(client, kept=client.rooms)

    def _restore(self, sid: str) -> None:
        """Bring a person who connects again back to the rooms of the last hour."""
        try:
            client = self._rooms.client(sid)
            session = self._sessions.update(client.user_id)
            for room in session.rooms:
                try:
                    self._restorer.bring_back(sid, client, room)
                except ServiceError as error:  # whatever is wrong with it, the others are fine
                    log.info("room not restored", extra={"room": room, "code": error.code})
            if session.rooms:
                rooms = [room for room in session.rooms if room in client.rooms]
                self._rooms.send(events.session_restored(sid, rooms, session.chosen))
        except (SocketGone, RedisUnavailable):
            log.info("session not restored")


class Restorer:
    """Brings sockets back to rooms that they did not ask for again."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        event_infos: EventInfos,
        waiting_room: WaitingRoom,
        presence: PresenceReporter,
        seat_feed: SeatFeed,
        stock_feed: StockFeed,
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._event_infos = event_infos
        self._waiting_room = waiting_room
        self._presence = presence
        self._seat_feed = seat_feed
        self._stock_feed = stock_feed

    def bring_back(self, sid: str, client: Client, room: str) -> None:
        """Put a socket into one of its former rooms, unless it is in too many by now.

        Raises SocketGone, EventNotFound, ServiceUnavailable, QueueUnavailable.
        """
        if room in client.rooms or not self._rooms.may_join(sid, room):
            return
        kind, _, event_id = room.partition(":")
        self._event_infos.read(event_id)
        self._rooms.join(sid, room)
        client.restored.add(room)
        if kind == "event":
            self._presence.joined(event_id)
            self._stock_feed.begin(event_id)
        elif kind == "seats":
            self._seat_feed.begin(event_id)
        else:
            place = self._waiting_room.status(client.user_id, event_id)
            self._memberships.note_place(sid, event_id, place["status"])
