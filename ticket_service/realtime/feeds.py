"""The loop that finds what other programs changed of the events that sockets look at."""

from __future__ import annotations

from ticket_service.realtime import events
from ticket_service.realtime.rooms import Rooms
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.realtime.stock_feed import StockFeed
from ticket_service.stores.each_event import for_each_event

MAX_LOOKS = 2
"""Events that are looked at at the same time, each on a connection to PostgreSQL."""


class Feeds:
    """Both feeds, event by event."""

    def __init__(self, rooms: Rooms, seats: SeatFeed, stock: StockFeed) -> None:
        self._rooms = rooms
        self._seats = seats
        self._stock = stock

    def look(self) -> None:
        """Look at everything that somebody here looks at; to be called about once a second.

        Raises ServiceUnavailable where nothing can be read.
        """
        with_seats = self._rooms.ids(events.seats(""))
        with_stock = self._rooms.ids(events.event(""))

        def look(event_id: str) -> None:
            if event_id in with_seats:
                self._seats.look(event_id)
            if event_id in with_stock:
                self._stock.look(event_id)

        for_each_event("feeds", with_seats | with_stock, look, at_once=MAX_LOOKS)
        self._seats.forget_unseen()
        self._stock.forget_unseen()
