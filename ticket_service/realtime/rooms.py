"""The Socket.IO rooms of this instance, joined with those of all others through Redis."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from socketio.pubsub_manager import PubSubManager

from ticket_service.realtime.events import person, queue, queue_entry_allowed
from ticket_service.stores import keys
from ticket_service.stores.redis import Redis, RedisUnavailable

NAMESPACE = "/"

log = logging.getLogger(__name__)


class Rooms(PubSubManager):  # type: ignore[misc] # python-socketio has no types
    """python-socketio's manager on our own Redis connections.

    Its own RedisManager waits without end for a Redis that hangs, and up to a minute before it
    listens again to one that was restarted.
    """

    name = "redis"

    def __init__(self, redis: Redis) -> None:
        super().__init__(channel=keys.SOCKETS, logger=log)
        self._redis = redis
        self._people: dict[str, str] = {}

    def arrived(self, sid: str, user_id: str) -> None:
        """Remember whose socket this is, so that it hears what is for this person only."""
        self._people[sid] = user_id
        self.enter_room(sid, NAMESPACE, person(user_id))

    def user_of(self, sid: str) -> str:
        """The user id of a socket that has arrived and is not gone."""
        return self._people[sid]

    def gone(self, sid: str) -> None:
        """Forget a socket."""
        self._people.pop(sid, None)

    def watchers(self) -> dict[str, list[str]]:
        """Who has a socket on this instance in an event's queue room: user ids by event id."""
        prefix = queue("")
        found: dict[str, list[str]] = defaultdict(list)
        for room, sockets in self.rooms.get(NAMESPACE, {}).items():
            if room is not None and room.startswith(prefix):
                users = {self._people[sid] for sid in sockets if sid in self._people}
                found[room.removeprefix(prefix)] += users
        return found

    def _publish(self, data: dict[str, Any]) -> None:
        """Tell the other instances. A failure is logged, and never that of a request."""
        try:
            self._redis.command("PUBLISH", self.channel, orjson.dumps(data).decode())
        except RedisUnavailable:
            log.warning("not announced", extra={"event": data.get("event")})

    def _listen(self) -> Iterator[dict[str, Any]]:
        """What other instances and scripts say, as python-socketio's messages."""
        for channel, text in self._redis.listen(self.channel, keys.ADMITTED):
            message = orjson.loads(text)
            if channel == keys.ADMITTED:
                yield from self._admitted(message["eventId"], message["userIds"])
            else:
                yield message

    def _admitted(self, event_id: str, user_ids: list[str]) -> Iterator[dict[str, Any]]:
        """Those of the admitted who have a socket here."""
        for user_id in user_ids:
            told = queue_entry_allowed(event_id, user_id)
            if told.room in self.rooms.get(NAMESPACE, {}):
                yield {
                    "method": "emit",
                    "event": told.name,
                    "data": [told.payload],
                    "namespace": NAMESPACE,
                    "room": told.room,
                }
