"""The loop that finds what other programs changed in the events that sockets watch."""

from __future__ import annotations

from ticket_service.realtime import events
from ticket_service.realtime.rooms import Rooms
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.realtime.stock_feed import StockFeed
from ticket_service.stores.each_event import for_each_event

MAX_CONCURRENT_READS = 2
"""Events that are read at the same time, each on a PostgreSQL connection of its own."""


class Feeds:
    """Polls both feeds, event by event."""

    def __init__(self, rooms: Rooms, seats: SeatFeed, stock: StockFeed) -> None:
        self._rooms = rooms
        self._seats = seats
        self._stock = stock

    def poll(self) -> None:
        """Poll every event that a socket of this instance watches. Call it about once a second.

        Raises ServiceUnavailable when nothing can be read.
        """
        with_seats = self._rooms.ids(events.seats(""))
        with_stock = self._rooms.ids(events.event(""))

        def poll(event_id: str) -> None:
            if event_id in with_seats:
                self._seats.poll(event_id)
            if event_id in with_stock:
                self._stock.poll(event_id)

        for_each_event("feeds", with_seats | with_stock, poll, at_once=MAX_CONCURRENT_READS)
        self._seats.drop_unwatched()
        self._stock.drop_unwatched()
