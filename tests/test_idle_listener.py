"""Instances hear each other after a long silence: redis-py's own time-out is five seconds."""

import time

from tests.support.browser import run_client
from tests.support.visitors import arrive, clear_queue, run_queue
from ticket_service.stores.redis import LISTEN_PING_SECONDS

SILENCE = 2 * LISTEN_PING_SECONDS + 2
"""Seconds: the listener has asked twice whether Redis is still there."""


def test_who_waits_in_silence_still_hears_of_his_admission(service, start_service, make_event):
    other, event_id = start_service(), make_event().id
    run_queue(service, event_id, threshold=1)
    inside, waiting = arrive(service, event_id, 2)
    with run_client(other.url, waiting.token) as socket:
        socket.emit("join-queue", event_id)
        time.sleep(2)  # the numbers may have been told before it came, or not
        before = len(socket.log)
        time.sleep(SILENCE)
        assert len(socket.log) == before
        inside.leave()
        socket.wait_for("queue-entry-allowed")
        clear_queue(service, event_id)
        socket.wait_for("queue-cleared")
    lines = [line["message"] for line in other.log_lines()]
    assert lines.count("listening") == 1
    assert "not listening" not in lines
    other.kill()
