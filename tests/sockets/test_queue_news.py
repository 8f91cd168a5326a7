"""The waiting room over Socket.IO: who hears what, and whose place a socket keeps."""

import time

import pytest

from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.service import run_service
from tests.support.visitors import Visitor, arrive, clear_queue, overview, run_queue
from tests.support.wire import check_soon, is_korean, is_time
from ticket_service.stores import keys


@pytest.fixture(scope="module")
def other(servers, folder, service):
    """A second instance; it starts after the first."""
    with run_service(folder) as instance:
        yield instance
        instance.kill()


# Who hears what


def test_only_the_admitted_one_hears_it_on_every_socket_of_his(service, other, room):
    inside, first, second = arrive(service, room, 3)
    with (
        run_client(service.url, first.token) as here,
        run_client(other.url, first.token) as there,
        run_client(other.url, second.token) as neighbour,
        run_client(other.url, token_for()) as stranger,
    ):
        here.emit("join-queue", room)
        neighbour.emit("join-queue", room)
        stranger.emit("join-queue", room)
        inside.leave(other)
        for socket in (here, there):
            [payload] = socket.wait_for("queue-entry-allowed")
            assert payload.keys() == {"eventId", "userId", "message"}
            assert (payload["eventId"], payload["userId"]) == (room, first.id)
            assert is_korean(payload["message"])
        time.sleep(0.6)
        assert len(here.payloads("queue-entry-allowed")) == 1
        assert len(there.payloads("queue-entry-allowed")) == 1
        assert neighbour.payloads("queue-entry-allowed") == []
        assert stranger.payloads("queue-entry-allowed") == []
        assert first.id not in str(neighbour.log + stranger.log)


def test_coming_in_without_a_wait_is_not_announced(service, room):
    with run_client(service.url, token_for()) as socket:
        assert socket.emit("join-queue", room)["status"] == "active"
        time.sleep(0.6)
        assert socket.payloads("queue-entry-allowed") == []


def test_the_numbers_are_told_to_the_room_and_not_too_often(service, other, room):
    inside = Visitor(service, room)
    with (
        run_client(service.url, inside.token) as here,
        run_client(other.url, token_for()) as there,
        run_client(other.url, token_for()) as outside,
        run_client(other.url, token_for()) as gone,
    ):
        for socket in (here, there, gone):
            socket.emit("join-queue", room)
        gone.emit("leave-queue", room)
        heard_before = len(gone.payloads("queue-updated"))
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            arrive(service, room, 1)
            time.sleep(0.05)
        size = overview(service, room)["queueSize"]
        for socket in (here, there):
            check_soon(lambda one=socket: one.payloads("queue-updated")[-1]["queueSize"], size)
            told = socket.wait_for("queue-updated", 3)
            assert told[-1].keys() == {
                "eventId",
                "queueSize",
                "currentUsers",
                "threshold",
                "timestamp",
            }
            assert (told[-1]["eventId"], told[-1]["threshold"]) == (room, 1)
            assert told[-1]["currentUsers"] == 1
            assert all(is_time(payload["timestamp"]) for payload in told)
            times = socket.times("queue-updated")
            assert len(times) - 1 <= times[-1] - times[0] + 1  # one a second, the last may be late
        assert outside.payloads("queue-updated") == []
        assert len(gone.payloads("queue-updated")) <= heard_before + 1  # one was on its way


def test_numbers_that_do_not_change_are_not_told_again(service, room):
    with run_client(service.url, token_for()) as socket:
        socket.emit("join-queue", room)
        socket.wait_for("queue-updated")
        time.sleep(1.5)
        assert len(socket.payloads("queue-updated")) == 1


def test_the_interval_of_the_numbers_is_a_setting(start_service, room):
    service = start_service(UPDATE_SECONDS="0.1")
    with run_client(service.url, token_for()) as socket:
        socket.emit("join-queue", room)
        socket.wait_for("queue-updated")
        started = time.monotonic()
        for number in range(1, 6):
            arrive(service, room, 1)
            check_soon(lambda: socket.payloads("queue-updated")[-1]["queueSize"], number)
        assert time.monotonic() - started < 4  # sooner than the default would allow
    service.kill()


def test_clearing_is_told_to_all_who_look(service, other, room):
    with (
        run_client(service.url, token_for()) as here,
        run_client(other.url, token_for()) as there,
        run_client(other.url, token_for()) as outside,
    ):
        for socket in (here, there):
            socket.emit("join-queue", room)
        clear_queue(service, room)
        for socket in (here, there):
            [payload] = socket.wait_for("queue-cleared")
            assert payload.keys() == {"eventId", "message"}
            assert payload["eventId"] == room
            assert is_korean(payload["message"])
        assert outside.payloads("queue-cleared") == []
        assert there.emit("join-queue", room)["status"] == "active"


# Signs of life


def test_a_socket_that_closes_does_not_lose_the_place(service, other, room):
    *_, waiting = arrive(service, room, 2)
    behind = Visitor(service, room)
    with run_client(service.url, waiting.token) as socket:
        socket.emit("join-queue", room)
        behind.check()
    with run_client(other.url, waiting.token) as socket:
        assert socket.emit("join-queue", room)["position"] == 1
    time.sleep(0.5)
    assert behind.stands() == ("queued", 2)


def test_a_queue_socket_keeps_the_place_and_nothing_else_does(start_service, make_event, redis):
    service = start_service(QUEUE_TTL_SECONDS="2")
    event_id = make_event().id
    run_queue(service, event_id, threshold=3)
    people = [Visitor(service, event_id) for _ in range(6)]
    inside, silent, unjoined, waiting, silent_too, leaver = people
    waiting_key, _, inside_key, *_ = keys.waiting_room(event_id)

    def places():
        return [redis.zrange(inside_key, 0, -1), redis.zrange(waiting_key, 0, -1)]

    with (
        run_client(service.url, inside.token) as first,
        run_client(service.url, waiting.token) as second,
        run_client(service.url, unjoined.token),
        run_client(service.url, leaver.token) as third,
    ):
        first.emit("join-queue", event_id)
        silent.check()
        unjoined.check()
        run_queue(service, event_id, paused=True)
        second.emit("join-queue", event_id)
        silent_too.check()
        third.emit("join-queue", event_id)
        leaver.leave()
        time.sleep(3)
        assert places() == [[inside.id], [waiting.id]]
    check_soon(places, [[], []], seconds=3.5)
    service.kill()
