"""The frames that are made once for a whole room are what a WebSocket client reads."""

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from ticket_service.realtime.websocket import text_frame

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
"""Where the length takes more bytes, and beside it: RFC 6455, section 5.2."""


def texts(data: bytes) -> list[str]:
    """The text messages in these bytes, as a client reads them."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    whole, parts = [], list[str]()
    for event in client.events():
        assert isinstance(event, TextMessage)
        parts.append(event.data)
        if event.message_finished:
            whole.append("".join(parts))
            parts.clear()
    assert not parts
    return whole


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_read_as_it_was_written(size: int):
    assert texts(text_frame(b"x" * size)) == ["x" * size]


def test_many_frames_at_once_are_as_many_messages():
    sent = ["", "42[]", "좌석", "x" * 200, "좌" * 30_000]
    assert texts(b"".join(text_frame(text.encode()) for text in sent)) == sent


def test_a_frame_has_no_mask_and_is_the_last_of_its_message():
    assert text_frame(b"hi") == b"\x81\x02hi"
