"""Engine.IO's side of a client, with one greenlet for each WebSocket.

engineio has three: one that reads, one that waits for something to write, and one that waits for
the time of the next ping. A greenlet that waits costs several kilobytes. Our WebSocket never makes
a sender wait, so whoever has something to say says it himself, and a timer waits for the ping.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import engineio.socket
import gevent
from engineio.exceptions import SocketIsClosedError, UnknownPacketError
from engineio.packet import NOOP, PING, Packet

from ticket_service.realtime.websocket import WebSocket

log = logging.getLogger(__name__)


class EngineSocket(engineio.socket.Socket):  # type: ignore[misc] # engineio has no types
    """A client that polls, or has a WebSocket, or goes over from one to the other."""

    connected: bool
    last_ping: float | None
    queue: Any

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.websocket: WebSocket | None = None
        """There as soon as nothing in the queue must go first; then there is no queue."""
        self._timer: Any = None

    def send(self, pkt: Packet) -> None:
        """Send a packet. Raises SocketIsClosedError."""
        if self.websocket is None:
            super().send(pkt)
        elif self.check_ping_timeout():
            self.websocket.send(pkt.encode())

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Say goodbye, unless `abort`, and forget the client."""
        super().close(wait=wait and self.websocket is None, abort=abort, reason=reason)
        if self.websocket is not None:
            self.websocket.close()
        if self._timer is not None:
            self._timer.close()

    def schedule_ping(self) -> None:
        """Send a ping in a while, for one that was answered."""
        if self.last_ping and not self.closed:
            self.last_ping = None
            if self._timer is not None:
                self._timer.close()  # libev would run it again at once
            self._timer = gevent.get_hub().loop.timer(self.server.ping_interval)
            self._timer.start(gevent.spawn, self._ping)

    def _ping(self) -> None:
        if not self.closing and not self.closed:
            self.last_ping = time.time()
            self.send(Packet(PING))

    def _websocket_handler(self, websocket: WebSocket) -> None:
        """Read until the WebSocket is at its end."""
        if self.connected and not self._comes_over(websocket):
            return
        self.connected = self.upgraded = True
        while not self.queue.empty():
            packet = self.queue.get(block=False)
            self.queue.task_done()
            if packet is not None:
                websocket.send(packet.encode())
        self.websocket = websocket
        self.queue = _NO_QUEUE
        while not self.closed and (message := websocket.wait()) is not None:
            try:
                packet = Packet(encoded_packet=message)
            except Exception as error:  # of whatever kind engineio fails with
                log.info("not a packet", extra={"error": type(error).__name__})
                break
            try:
                self.receive(packet)
            except UnknownPacketError:
                continue
            except SocketIsClosedError:
                break
            except Exception:
                log.exception("unhandled")
                break
        self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    def _comes_over(self, websocket: WebSocket) -> bool:
        """Have a client that polls use its new WebSocket from now on; whether it does."""
        self.upgrading = True  # and polls are answered at once
        try:
            if websocket.wait() != "2probe":
                return False
            websocket.send("3probe")
            self.queue.put(Packet(NOOP))  # for the poll that is open
            return websocket.wait() == "5"
        finally:
            self.upgrading = False


class _NoQueue:
    """Takes the end that `close` puts into the queue of whoever polls."""

    def put(self, end: None) -> None:
        """Nobody waits for it."""


_NO_QUEUE = _NoQueue()
"""In place of two kilobytes."""
