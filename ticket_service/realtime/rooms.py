"""The Socket.IO rooms of this instance: their members, and sending to all of a room at once."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gevent
import orjson
from engineio.packet import MESSAGE, Packet
from socketio.manager import Manager

from ticket_service.libraries import private_parts
from ticket_service.realtime.events import RoomEvent, person
from ticket_service.realtime.websocket import text_frame

NAMESPACE = "/"

MAX_ROOMS = 12
"""Rooms that one socket may be in: three rooms of each of four events."""

SENDS_PER_TURN = 200
"""Sockets sent to, or events queued, before other greenlets run."""

MAX_QUEUED_PACKETS = 1_000
"""Packets queued for a polling client; with more it is dropped."""

MAX_OUTBOX_EVENTS = 1_000
"""Events queued for a room. Beyond that, a new one replaces the queued one with the same
`RoomEvent.coalescing_key`."""

MAX_WRITE_BYTES = 32 * 1024
"""Bytes written to a socket at once, unless one event is larger."""

REPEAT_SECONDS = 5.0
"""Within this time a second `queue-entry-allowed` is a repetition: it is not sent."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Client:
    """A connected socket."""

    user_id: str
    expires_at: float
    """When its token expires, seconds since the epoch."""
    rooms: list[str] = field(default_factory=list)
    """The rooms that it joined, in this order."""
    restored: set[str] = field(default_factory=set)
    """Those of its rooms that it was put back into and has not asked for since."""
    entries: dict[str, float] = field(default_factory=dict)
    """When it was told that the person may enter, by event id (`time.monotonic()`)."""
    told: dict[str, int] = field(default_factory=dict)
    """How many people it was last told to be there, by room."""


class _Outgoing(NamedTuple):
    """An encoded event."""

    skip: frozenset[str]
    """The ids of sockets that do not get it."""
    texts: list[bytes]
    """The Engine.IO messages: one under each name of the event."""
    frames: bytes
    """The WebSocket frames of all these messages."""


class SocketGone(Exception):
    """The socket was closed meanwhile."""


class Rooms(Manager):  # type: ignore[misc] # python-socketio has no types
    """python-socketio's manager, which also knows the person behind each socket."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, Client] = {}
        """By socket id."""
        self._member_counts: Counter[str] = Counter()
        self._outboxes: dict[str, dict[Hashable, _Outgoing]] = {}
        """Queued events by room. A room that has an entry has a greenlet that sends them."""
        self._numbers = itertools.count(1)

    def add_client(self, sid: str, client: Client) -> None:
        """Register a socket and put it into the room of its person."""
        self.clients[sid] = client
        self.enter_room(sid, NAMESPACE, person(client.user_id))

    def remove_client(self, sid: str) -> None:
        """Forget a socket. python-socketio itself takes it out of its rooms."""
        client = self.clients.pop(sid, None)
        for room in client.rooms if client else ():
            self._uncount(room)

    def is_closed(self, sid: str) -> bool:
        """Whether a socket is closed, even if `disconnect` was not called for it."""
        socket = private_parts.open_sockets(self.server).get(self.eio_sid_from_sid(sid, NAMESPACE))
        return socket is None or bool(socket.closed)

    def _uncount(self, room: str) -> None:
        self._member_counts[room] -= 1
        if not self._member_counts[room]:
            del self._member_counts[room]

    def client(self, sid: str) -> Client:
        """The client with this socket id. Raises SocketGone."""
        try:
            return self.clients[sid]
        except KeyError as error:
            raise SocketGone from error

    def can_join(self, sid: str, room: str) -> bool:
        """Whether a socket may join this room. Raises SocketGone."""
        client = self.client(sid)
        return (
            room in client.rooms
            or len(client.rooms) < MAX_ROOMS
            or _to_leave(client, room) is not None
        )

    def join(self, sid: str, room: str) -> None:
        """Put a socket into a room; harmless if it is in it already. Raises SocketGone.

        A socket in MAX_ROOMS rooms first leaves one that it was restored to. For a seats room it
        may also leave that of another event, since there is no message to leave those.
        """
        client = self.client(sid)
        client.restored.discard(room)
        if room not in client.rooms:
            if len(client.rooms) >= MAX_ROOMS and (old := _to_leave(client, room)):
                self.leave(sid, old)
            client.rooms.append(room)
            self._member_counts[room] += 1
        self.enter_room(sid, NAMESPACE, room)

    def leave(self, sid: str, room: str) -> None:
        """Take a socket out of a room; harmless if it is not in it. Raises SocketGone."""
        client = self.client(sid)
        if room in client.rooms:
            client.rooms.remove(room)
            client.told.pop(room, None)
            self._uncount(room)
        self.leave_room(sid, NAMESPACE, room)

    def occupied(self, room: str) -> bool:
        """Whether a socket of this instance is in the room."""
        return room in self.rooms.get(NAMESPACE, {})

    def ids(self, prefix: str) -> set[str]:
        """The ids in the names of the rooms that begin with `prefix` and have members."""
        return {
            name.removeprefix(prefix) for name in self._member_counts if name.startswith(prefix)
        }

    def people(self, prefix: str) -> dict[str, set[str]]:
        """The ids of the users in each room whose name begins with `prefix`, by the id in its
        name."""
        return {id_: self.users(prefix + id_) for id_ in self.ids(prefix)}

    def sockets_of(self, user_id: str) -> int:
        """How many sockets a person has on this instance."""
        return len(self._clients_in(person(user_id)))

    def users(self, room: str) -> set[str]:
        """The ids of the users in a room."""
        return {client.user_id for client in self._clients_in(room)}

    def record_entry(self, user_id: str, event_id: str) -> bool:
        """Record that this person's sockets are told now that they may enter.

        Returns False if there is nobody to tell: no socket, or all were told within the last
        REPEAT_SECONDS.
        """
        now, new = time.monotonic(), False
        for client in self._clients_in(person(user_id)):
            new = new or now - client.entries.get(event_id, -REPEAT_SECONDS) >= REPEAT_SECONDS
            client.entries[event_id] = now
        return new

    def knows_entry(self, user_id: str, event_id: str) -> bool:
        """Whether one of this person's sockets was told that they may enter."""
        return any(event_id in client.entries for client in self._clients_in(person(user_id)))

    def forget_entry(self, user_id: str, event_id: str, before: float) -> list[str]:
        """Forget that this person's sockets were told that they may enter.

        Only what they were told earlier than `before` (`time.monotonic()`) is forgotten. Returns
        the ids of the sockets concerned.
        """
        knew = [
            sid
            for sid in self.sids(person(user_id))
            if sid in self.clients and self.clients[sid].entries.get(event_id, before) < before
        ]
        for sid in knew:
            del self.clients[sid].entries[event_id]
        return knew

    def sids(self, room: str) -> list[str]:
        """The ids of the sockets in a room."""
        return list(self.rooms.get(NAMESPACE, {}).get(room, ()))

    def _clients_in(self, room: str) -> list[Client]:
        return [self.clients[sid] for sid in self.sids(room) if sid in self.clients]

    def expired(self, now: float) -> list[str]:
        """The ids of the sockets whose token expired by `now` (seconds since the epoch)."""
        return [sid for sid, client in self.clients.items() if client.expires_at <= now]

    def send(
        self, event: RoomEvent, *, skip: Collection[str] = (), alias: str | None = None
    ) -> None:
        """Queue an event for its room's sockets on this instance; a greenlet sends it.

        Events of one room arrive in order. Those that are queued while the room is being sent to
        go out together afterwards, with one write for each socket. Other greenlets may run
        meanwhile.

        `skip`: the ids of sockets that do not get it. `alias`: a second name to send it under.
        """
        names = (event.name, alias) if alias else (event.name,)
        # 4: a message (Engine.IO); 2: an event (Socket.IO)
        texts = [b"42" + orjson.dumps([name, event.payload]) for name in names]
        outgoing = _Outgoing(frozenset(skip), texts, b"".join(map(text_frame, texts)))
        outbox = self._outboxes.get(event.room)
        if outbox is None:
            outbox = self._outboxes[event.room] = {}
            gevent.spawn(self._send_outbox, event.room)
        number = next(self._numbers)
        outbox[number if len(outbox) < MAX_OUTBOX_EVENTS else event.coalescing_key()] = outgoing
        if number % SENDS_PER_TURN == 0:
            gevent.sleep(0)

    def _send_outbox(self, room: str) -> None:
        while outbox := self._outboxes[room]:
            self._outboxes[room] = {}
            for batch in _batches(outbox.values()):
                try:
                    self._send(room, batch)
                except Exception:
                    log.exception("not sent", extra={"room": room})
        del self._outboxes[room]

    def _send(self, room: str, batch: list[_Outgoing]) -> None:
        """Send to each socket of a room. Other greenlets run after every SENDS_PER_TURN."""
        frames = b"".join(event.frames for event in batch)
        skipped = frozenset().union(*(event.skip for event in batch))
        sockets = private_parts.open_sockets(self.server)
        members = list(self.rooms.get(NAMESPACE, {}).get(room, {}).items())
        for number, (sid, engine_sid) in enumerate(members, start=1):
            socket = sockets.get(engine_sid)
            if socket is not None and not socket.closed:
                if sid not in skipped:
                    _push(socket, batch, frames)
                elif rest := [event for event in batch if sid not in event.skip]:
                    _push(socket, rest, b"".join(event.frames for event in rest))
            if number % SENDS_PER_TURN == 0:
                gevent.sleep(0)


def _push(socket: Any, events: list[_Outgoing], frames: bytes) -> None:
    """Send to one socket, without waiting. A client that polls too seldom is closed."""
    if socket.websocket is not None:
        socket.websocket.push(frames)
    elif socket.queue.qsize() < MAX_QUEUED_PACKETS:
        for text in (text for event in events for text in event.texts):
            if not socket.closed:  # sending the one before may have closed it
                socket.send(Packet(MESSAGE, text[1:].decode()))
    else:
        socket.close(wait=False, abort=True)


def _to_leave(client: Client, room: str) -> str | None:
    """The room that a client in MAX_ROOMS rooms leaves to join `room`; None if there is none."""
    for joined in client.rooms:
        if joined in client.restored:
            return joined
    if room.startswith("seats:"):
        return next((joined for joined in client.rooms if joined.startswith("seats:")), None)
    return None


def _batches(events: Iterable[_Outgoing]) -> Iterator[list[_Outgoing]]:
    """Split events into batches of up to MAX_WRITE_BYTES, in order."""
    batch: list[_Outgoing] = []
    size = 0
    for event in events:
        size += len(event.frames)
        if batch and size > MAX_WRITE_BYTES:
            yield batch
            batch, size = [], len(event.frames)
        batch.append(event)
    if batch:
        yield batch
