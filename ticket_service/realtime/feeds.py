"""The loop that finds what other programs changed in the events that sockets watch."""

from __future__ import annotations

from ticket_service.realtime import events
from ticket_service.realtime.event_feed import EventFeed
from ticket_service.realtime.rooms import Rooms
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.stores.each_event import for_each_event

MAX_CONCURRENT_READS = 2
"""Events that are read at the same time, each on a PostgreSQL connection of its own."""


class Feeds:
    """Polls both feeds, event by event."""

    def __init__(self, rooms: Rooms, seats: SeatFeed, event_feed: EventFeed) -> None:
        self._rooms = rooms
        self._seats = seats
        self._event_feed = event_feed

    def poll(self) -> None:
        """Poll every event that a socket of this instance watches. Call it about once a second.

        Raises ServiceUnavailable when nothing can be read.
        """
        with_seats = self._rooms.ids(events.seats(""))
        looked_at = self._rooms.ids(events.event(""))

        def poll(event_id: str) -> None:
            if event_id in with_seats:
                self._seats.poll(event_id)
            if event_id in looked_at:
                self._event_feed.poll(event_id)

        for_each_event("feeds", with_seats | looked_at, poll, at_once=MAX_CONCURRENT_READS)
        self._seats.drop_unwatched()
        self._event_feed.drop_unwatched()
