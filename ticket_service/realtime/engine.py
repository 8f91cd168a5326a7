"""The server's side of an Engine.IO client, with one greenlet for each WebSocket.

engineio uses three: a reader, a writer, and one that sleeps until the next ping. Each costs
several kilobytes. Here there is no writer, since our WebSocket never makes a sender wait, and the
pings are started by a timer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIEnvironment as Environ

import engineio.socket
import gevent
from engineio.exceptions import (
    ContentTooLongError,
    QueueEmpty,
    SocketIsClosedError,
    UnknownPacketError,
)
from engineio.packet import NOOP, PING, Packet

from ticket_service.libraries import private_parts
from ticket_service.realtime.budgets import UPGRADE_COST, Budget
from ticket_service.realtime.websocket import MAX_UNSENT_BYTES, WebSocket

UPGRADE_TIMEOUT = 10.0
"""Seconds in which a client that polls must have gone over to its new WebSocket."""

log = logging.getLogger(__name__)


class EngineSocket(engineio.socket.Socket):  # type: ignore[misc] # engineio has no types
    """A client that polls, has a WebSocket, or upgrades from one to the other."""

    connected: bool
    last_ping: float | None
    queue: Any

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.budget = Budget()
        self.websocket: WebSocket | None = None
        """None until everything in the queue was sent; from then on there is no queue."""
        self._timer: Any = None
        self._polling = False
        self._unsent_bytes = 0

    def send(self, pkt: Packet) -> None:
        """Send a packet. A client that polls and has too much unsent is dropped.

        Raises SocketIsClosedError.
        """
        if self.websocket is not None:
            if self.check_ping_timeout():
                self.websocket.send(pkt.encode())
        elif self._unsent_bytes > MAX_UNSENT_BYTES:
            self.close(wait=False, abort=True)
        else:
            super().send(pkt)
            self._unsent_bytes += len(pkt.encode())

    def receive(self, pkt: Packet) -> None:
        """Handle a packet. For a client that polls it is counted first, which may raise
        BudgetSpent; a WebSocket's frames were counted when they were read."""
        if self.websocket is None:
            self.budget.spend()
            self.budget.wait_turn()
        super().receive(pkt)

    def poll(self) -> list[Packet]:
        """Wait for packets for a client that polls.

        Raises QueueEmpty, which ends the connection, on a time-out and on a second poll at the
        same time.
        """
        if self._polling:
            raise QueueEmpty
        self._polling = True
        try:
            packets: list[Packet] = super().poll()
        finally:
            self._polling = False
        self._unsent_bytes = 0
        return packets

    def handle_post_request(self, environ: Environ) -> None:
        """Handle the packets that a polling client posts. Raises ContentTooLongError and
        BudgetSpent."""
        if int(environ.get("CONTENT_LENGTH") or 0) > self.budget.allowance.max_message:
            raise ContentTooLongError
        super().handle_post_request(environ)

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Close the connection and forget the client; `abort` sends no close packet."""
        super().close(wait=wait and self.websocket is None, abort=abort, reason=reason)
        if self.websocket is not None:
            self.websocket.close()
        if self._timer is not None:
            self._timer.close()

    def schedule_ping(self) -> None:
        """Send the next ping after `ping_interval`, if the last one was answered."""
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

    def _upgrade_websocket(self, environ: Environ, start_response: Callable[..., Any]) -> Any:
        """Accept a WebSocket, and serve it until it closes. Raises BudgetSpent."""
        if self.upgrading:
            return private_parts.bad_request(self.server)
        if self.connected:
            self.budget.spend(UPGRADE_COST)
        return WebSocket(self._websocket_handler, self.server, self.budget)(environ, start_response)

    def _websocket_handler(self, websocket: WebSocket) -> None:
        """Read until the WebSocket is closed."""
        if self.connected and not self._complete_upgrade(websocket):
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

    def _complete_upgrade(self, websocket: WebSocket) -> bool:
        """Move a client that polls to its new WebSocket. Returns whether it upgraded in time."""
        self.upgrading = True  # polls are answered at once now
        try:
            with gevent.Timeout(UPGRADE_TIMEOUT, False):  # type: ignore[arg-type] # the stubs
                if websocket.wait() == "2probe":
                    websocket.send("3probe")
                    self.queue.put(Packet(NOOP))  # for the poll that is open
                    return websocket.wait() == "5"
            return False
        finally:
            self.upgrading = False


class _NoQueue:
    """Stands for the queue of a client with a WebSocket: `close` puts an end mark into it."""

    def put(self, end: None) -> None:
        """Drop the mark: nobody reads the queue."""


_NO_QUEUE = _NoQueue()
"""Shared, since a queue for each WebSocket would take two kilobytes."""
