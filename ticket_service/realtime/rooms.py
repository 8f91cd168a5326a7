"""The Socket.IO rooms of this instance: who is in them, and sending to all of one at once."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
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
"""Rooms that one socket may be in: three of each of four events."""

TURN = 200
"""Sockets that are sent to, or events that are sent, before others get their turn."""

MAX_QUEUED = 1_000
"""Packets that wait for a polling client; then it is dropped."""

MAX_WAITING = 1_000
"""Events that wait for a room; of what is sent then, only the latest of each subject waits."""

MAX_WRITE_BYTES = 32 * 1024
"""Bytes that go to a socket at once, unless one event is larger; the kernel keeps more."""

JUST_NOW = 5.0
"""Seconds in which two ways of learning the same thing are one."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Client:
    """A connected socket."""

    user_id: str
    expires_at: float
    """When its token ends, seconds since the epoch."""
    rooms: list[str] = field(default_factory=list)
    """Those that it joined, in this order."""
    restored: set[str] = field(default_factory=set)
    """Those of them that it did not ask for itself."""
    entries: dict[str, float] = field(default_factory=dict)
    """When it learned that this person may enter an event (`time.monotonic()`)."""


class _Event(NamedTuple):
    """What is to be said."""

    skip: str | None
    texts: list[bytes]
    """A message of Engine.IO under each name."""
    frames: bytes
    """All of them, for WebSockets."""


class SocketGone(Exception):
    """The socket was closed meanwhile."""


class Rooms(Manager):  # type: ignore[misc] # python-socketio has no types
    """python-socketio's manager, which knows whose sockets there are."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, Client] = {}
        self._joined: Counter[str] = Counter()
        self._outboxes: dict[str, dict[Hashable, _Event]] = {}
        """What waits, by room; a room that is in it has a greenlet that sends."""
        self._numbers = itertools.count(1)

    def arrived(self, sid: str, client: Client) -> None:
        """Remember whose socket this is, so that it hears what is for this person only."""
        self.clients[sid] = client
        self.enter_room(sid, NAMESPACE, person(client.user_id))

    def gone(self, sid: str) -> None:
        """Forget a socket; python-socketio takes it out of its rooms."""
        client = self.clients.pop(sid, None)
        for room in client.rooms if client else ():
            self._left(room)

    def is_closed(self, sid: str) -> bool:
        """Whether a socket was closed, of whose end we may not have been told."""
        socket = private_parts.open_sockets(self.server).get(self.eio_sid_from_sid(sid, NAMESPACE))
        return socket is None or bool(socket.closed)

    def _left(self, room: str) -> None:
        self._joined[room] -= 1
        if not self._joined[room]:
            del self._joined[room]

    def client(self, sid: str) -> Client:
        """Whose socket this is. Raises SocketGone."""
        try:
            return self.clients[sid]
        except KeyError as error:
            raise SocketGone from error

    def may_join(self, sid: str, room: str) -> bool:
        """Whether a socket may join one room more. Raises SocketGone."""
        client = self.client(sid)
        return (
            room in client.rooms
            or len(client.rooms) < MAX_ROOMS
            or _to_leave(client, room) is not None
        )

    def join(self, sid: str, room: str) -> None:
        """Put a socket into a room, where it may be already. Raises SocketGone.

        Where it is in too many, it leaves one for it that it was only brought back to, or the seats
        of another event: there is no other way to leave those.
        """
        client = self.client(sid)
        client.restored.discard(room)
        if room not in client.rooms:
            if len(client.rooms) >= MAX_ROOMS and (old := _to_leave(client, room)):
                self.leave(sid, old)
            client.rooms.append(room)
            self._joined[room] += 1
        self.enter_room(sid, NAMESPACE, room)

    def leave(self, sid: str, room: str) -> None:
        """Take a socket out of a room; harmless where it is not in it. Raises SocketGone."""
        client = self.client(sid)
        if room in client.rooms:
            client.rooms.remove(room)
            self._left(room)
        self.leave_room(sid, NAMESPACE, room)

    def occupied(self, room: str) -> bool:
        """Whether a socket of this instance is in the room."""
        return room in self.rooms.get(NAMESPACE, {})

    def ids(self, prefix: str) -> set[str]:
        """The rest of the name of each room that begins so and that somebody joined."""
        return {name.removeprefix(prefix) for name in self._joined if name.startswith(prefix)}

    def people(self, prefix: str) -> dict[str, set[str]]:
        """Who is in the rooms whose name begins so: user ids by the rest of the name."""
        return {rest: self.users(prefix + rest) for rest in self.ids(prefix)}

    def sockets_of(self, user_id: str) -> int:
        """How many sockets a person has here."""
        return len(self._clients_in(person(user_id)))

    def users(self, room: str) -> set[str]:
        """Who is in this room."""
        return {client.user_id for client in self._clients_in(room)}

    def note_entry(self, user_id: str, event_id: str) -> bool:
        """Remember that this person's sockets learn now that they may enter; False where there are
        none, or they learned it just now."""
        now, new = time.monotonic(), False
        for client in self._clients_in(person(user_id)):
            new = new or now - client.entries.get(event_id, -JUST_NOW) >= JUST_NOW
            client.entries[event_id] = now
        return new

    def knows_of_entry(self, user_id: str, event_id: str) -> bool:
        """Whether this person's sockets learned, ever, that they may enter."""
        return any(event_id in client.entries for client in self._clients_in(person(user_id)))

    def forget_entry(self, user_id: str, event_id: str, before: float) -> list[str]:
        """Forget that this person's sockets learned, before some moment (`time.monotonic()`), that
        they may enter; the sockets that had learned it."""
        sids = self.rooms.get(NAMESPACE, {}).get(person(user_id), ())
        knew = [
            sid
            for sid in sids
            if sid in self.clients and self.clients[sid].entries.get(event_id, before) < before
        ]
        for sid in knew:
            del self.clients[sid].entries[event_id]
        return knew

    def _clients_in(self, room: str) -> list[Client]:
        sids = self.rooms.get(NAMESPACE, {}).get(room, ())
        return [self.clients[sid] for sid in sids if sid in self.clients]

    def expired(self, now: float) -> list[str]:
        """The sockets whose token has ended."""
        return [sid for sid, client in self.clients.items() if client.expires_at <= now]

    def send(self, told: RoomEvent, *, skip: str | None = None, alias: str | None = None) -> None:
        """Send an event to everyone in a room of this instance, but to the socket `skip`; also
        under another name, if it has one.

        What is sent to a room arrives in order. What is sent while a large room still hears of
        something else waits, and then goes out together, with one write for each socket. Never
        waits for that, but others may have their turn meanwhile.
        """
        names = (told.name, alias) if alias else (told.name,)
        # 4: a message (Engine.IO); 2: an event (Socket.IO)
        texts = [b"42" + orjson.dumps([name, told.payload]) for name in names]
        event = _Event(skip, texts, b"".join(map(text_frame, texts)))
        outbox = self._outboxes.get(told.room)
        if outbox is None:
            outbox = self._outboxes[told.room] = {}
            gevent.spawn(self._send_outbox, told.room)
        number = next(self._numbers)
        outbox[number if len(outbox) < MAX_WAITING else told.subject()] = event
        if number % TURN == 0:
            gevent.sleep(0)

    def _send_outbox(self, room: str) -> None:
        while waiting := self._outboxes[room]:
            self._outboxes[room] = {}
            for batch in _batches(waiting.values()):
                try:
                    self._send(room, batch)
                except Exception:
                    log.exception("not sent", extra={"room": room})
        del self._outboxes[room]

    def _send(self, room: str, batch: list[_Event]) -> None:
        """Send to each socket; in a large room others have their turn in between."""
        frames = b"".join(event.frames for event in batch)
        skipping = {event.skip for event in batch}
        sockets = private_parts.open_sockets(self.server)
        members = list(self.rooms.get(NAMESPACE, {}).get(room, {}).items())
        for number, (sid, engine_sid) in enumerate(members, start=1):
            socket = sockets.get(engine_sid)
            if socket is not None and not socket.closed:
                if sid not in skipping:
                    _push(socket, batch, frames)
                elif heard := [event for event in batch if event.skip != sid]:
                    _push(socket, heard, b"".join(event.frames for event in heard))
            if number % TURN == 0:
                gevent.sleep(0)


def _push(socket: Any, events: list[_Event], frames: bytes) -> None:
    """Send to one socket, without waiting; one that polls and never comes is closed."""
    if socket.websocket is not None:
        socket.websocket.push(frames)
    elif socket.queue.qsize() < MAX_QUEUED:
        for text in (text for event in events for text in event.texts):
            if not socket.closed:  # by sending the one before, to a client that no longer polls
                socket.send(Packet(MESSAGE, text[1:].decode()))
    else:
        socket.close(wait=False, abort=True)


def _to_leave(client: Client, room: str) -> str | None:
    """The room that a socket which is in too many leaves for this one."""
    for one in client.rooms:
        if one in client.restored:
            return one
    if room.startswith("seats:"):
        return next((one for one in client.rooms if one.startswith("seats:")), None)
    return None


def _batches(events: Iterable[_Event]) -> Iterator[list[_Event]]:
    """What may go out together: neighbours, up to MAX_WRITE_BYTES bytes."""
    batch: list[_Event] = []
    size = 0
    for event in events:
        size += len(event.frames)
        if batch and size > MAX_WRITE_BYTES:
            yield batch
            batch, size = [], len(event.frames)
        batch.append(event)
    if batch:
        yield batch
