"""The Socket.IO rooms of this instance: who is in them, and sending to all of one at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import orjson
from engineio.packet import MESSAGE, Packet
from gevent.lock import BoundedSemaphore
from socketio.manager import Manager

from ticket_service.realtime.events import Told, person
from ticket_service.realtime.websocket import text_frame

NAMESPACE = "/"

TURN = 200
"""Sockets that are sent to before others get their turn."""

MOST_QUEUED = 1_000
"""Packets that wait for a polling client; then it is dropped."""


JUST_NOW = 5.0
"""Seconds in which two ways of learning the same thing are one."""


@dataclass(slots=True)
class Client:
    """A connected socket."""

    user_id: str
    expires_at: float
    """When its token ends, seconds since the epoch."""
    rooms: list[str] = field(default_factory=list)
    """Those that it joined, in this order."""
    chosen: list[str] = field(default_factory=list)
    """The seats that this person has chosen and not yet taken."""
    entries: dict[str, float] = field(default_factory=dict)
    """When it learned that this person may enter an event (`time.monotonic()`)."""
    messages: float = 0.0
    """How many it has sent of late; `heard_at`: when it sent the last one."""
    heard_at: float = 0.0


class Gone(Exception):
    """The socket was closed meanwhile."""


class Rooms(Manager):  # type: ignore[misc] # python-socketio has no types
    """python-socketio's manager, which knows whose sockets there are."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, Client] = {}
        self._joined: Counter[str] = Counter()
        self._sending = BoundedSemaphore(1)

    def arrived(self, sid: str, client: Client) -> None:
        """Remember whose socket this is, so that it hears what is for this person only."""
        self.clients[sid] = client
        self.enter_room(sid, NAMESPACE, person(client.user_id))

    def gone(self, sid: str) -> None:
        """Forget a socket; python-socketio takes it out of its rooms."""
        client = self.clients.pop(sid, None)
        for room in client.rooms if client else ():
            self._left(room)

    def _left(self, room: str) -> None:
        self._joined[room] -= 1
        if not self._joined[room]:
            del self._joined[room]

    def client(self, sid: str) -> Client:
        """Whose socket this is. Raises Gone."""
        try:
            return self.clients[sid]
        except KeyError as error:
            raise Gone from error

    def join(self, sid: str, room: str) -> None:
        """Put a socket into a room, where it may be already. Raises Gone."""
        client = self.client(sid)
        if room not in client.rooms:
            client.rooms.append(room)
            self._joined[room] += 1
        self.enter_room(sid, NAMESPACE, room)

    def leave(self, sid: str, room: str) -> None:
        """Take a socket out of a room; harmless where it is not in it. Raises Gone."""
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

    def users(self, room: str) -> set[str]:
        """Who is in this room."""
        return {client.user_id for client in self._clients_in(room)}

    def note_entry(self, user_id: str, event_id: str) -> bool:
        """Remember that this person's sockets learn now that he may enter; False where there are
        none, or they learned it just now."""
        now, new = time.monotonic(), False
        for client in self._clients_in(person(user_id)):
            new = new or now - client.entries.get(event_id, -JUST_NOW) >= JUST_NOW
            client.entries[event_id] = now
        return new

    def knows_of_entry(self, user_id: str, event_id: str) -> bool:
        """Whether this person's sockets learned, ever, that he may enter."""
        return any(event_id in client.entries for client in self._clients_in(person(user_id)))

    def _clients_in(self, room: str) -> list[Client]:
        sids = self.rooms.get(NAMESPACE, {}).get(room, ())
        return [self.clients[sid] for sid in sids if sid in self.clients]

    def expired(self, now: float) -> list[str]:
        """The sockets whose token has ended."""
        return [sid for sid, client in self.clients.items() if client.expires_at <= now]

    def send(self, told: Told, *, skip: str | None = None) -> None:
        """Send an event to everyone in a room of this instance, but to the socket `skip`.

        In a large room others have their turn in between, but for other events, which wait: so all
        arrive in order.
        """
        with self._sending:
            self._send(told, skip)

    def _send(self, told: Told, skip: str | None) -> None:
        text = "2" + orjson.dumps([told.name, told.payload]).decode()  # 2: an event (Socket.IO)
        packet = Packet(MESSAGE, text)
        frame = text_frame(b"4" + text.encode())  # 4: a message (Engine.IO)
        for number, socket in enumerate(self._sockets(told.room, skip), start=1):
            websocket = getattr(socket, "websocket", None)
            # Past the queue, unless something in it must go first.
            if websocket is not None and socket.upgraded and socket.queue.empty():
                websocket.push(frame)
            elif socket.queue.qsize() < MOST_QUEUED:
                socket.send(packet)
            else:
                socket.close(wait=False, abort=True)
            if number % TURN == 0:
                gevent.sleep(0)

    def _sockets(self, room: str, skip: str | None) -> Iterator[Any]:
        engine = self.server.eio
        for sid, engine_sid in list(self.rooms.get(NAMESPACE, {}).get(room, {}).items()):
            socket = engine.sockets.get(engine_sid)
            if sid != skip and socket is not None and not socket.closed:
                yield socket
