"""A WebSocket gets one ping for each pong, after a while: not two, and not at once."""

import logging
import time
from types import SimpleNamespace
from typing import cast

import gevent
from engineio.packet import PONG, Packet
from gevent.queue import JoinableQueue

from ticket_service.realtime.engine import EngineSocket
from ticket_service.realtime.websocket import WebSocket

INTERVAL = 0.2


def test_pings_keep_their_distance():
    client, sent = _client()
    began = time.monotonic()
    client.schedule_ping()
    for count in range(1, 4):
        while len(sent) < count:
            gevent.sleep(0.01)
        assert time.monotonic() - began > count * INTERVAL - 0.01
        client.receive(Packet(PONG))
        client.receive(Packet(PONG))  # one too many
    assert sent == ["2"] * 3


def test_a_closed_socket_gets_none():
    client, sent = _client()
    client.schedule_ping()
    client.close()
    gevent.sleep(2 * INTERVAL)
    assert sent == ["1"]  # that it is closed


def _client() -> tuple[EngineSocket, list[str]]:
    sent: list[str] = []
    client = EngineSocket(_engine(), "sid")
    client.websocket = cast("WebSocket", SimpleNamespace(send=sent.append, close=lambda: None))
    gevent.sleep(0.01)  # so that the loop knows what time it is
    return client, sent


def _engine():
    """What the socket needs of engineio's server."""
    return SimpleNamespace(
        ping_interval=INTERVAL,
        ping_timeout=10,
        logger=logging.getLogger("engine"),
        reason=SimpleNamespace(SERVER_DISCONNECT="", PING_TIMEOUT="", TRANSPORT_CLOSE=""),
        create_queue=JoinableQueue,
        _trigger_event=lambda *_, **__: None,
    )
