"""The service with one slow room: it takes as long to send to as if very many people were in it.

`SLOW_ROOM` names the room. Run as `gunicorn -c gunicorn.conf.py tests.support.slow_room:app`.
"""

import os
from typing import Any

import gevent

from ticket_service.app import create_app
from ticket_service.config import Settings
from ticket_service.realtime.rooms import Rooms

PAUSE = 0.15
"""Seconds for each round through the sockets of the room."""

send = Rooms._send


def send_slowly(self: Rooms, room: str, batch: list[Any]) -> None:
    """Send to all in a room, and pause before if it is the slow one."""
    if room == os.environ["SLOW_ROOM"]:
        gevent.sleep(PAUSE)
    send(self, room, batch)


Rooms._send = send_slowly  # type: ignore[method-assign]

app = create_app(Settings.from_environment())
