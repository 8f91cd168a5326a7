"""Ids of the waiting room that mean nothing, and the keys that it makes in Redis."""

import time
from uuid import uuid4

import pytest

from tests.support.buyers import token_for
from tests.support.visitors import Visitor, arrive, clear_queue, overview, run_queue
from tests.support.waiting_room import CALLS, UNKNOWN, buy_seat, keys_of, send
from tests.support.wire import check_error, check_soon
from ticket_service.stores import keys


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_id_must_be_a_uuid(service, method, path):
    for wrong in ("abc", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.replace("-", ""), "%7B%7D", "%00"):
        answer = send(service, method, path.format(wrong), "admin")
        check_error(answer, 400, "VALIDATION_ERROR")


def test_an_event_that_does_not_exist_leaves_no_trace(service, redis):
    unknown = str(uuid4())
    for _ in range(2):
        for method, path in CALLS:
            answer = send(service, method, path.format(unknown), "admin")
            check_error(answer, 404, "EVENT_NOT_FOUND")
        seats = {"eventId": unknown, "seatIds": [UNKNOWN]}
        tickets = {"eventId": unknown, "items": [{"ticketTypeId": UNKNOWN, "quantity": 1}]}
        for path, body in (("/seats/reserve", seats), ("/reservations", tickets)):
            answer = service.post(path, token=token_for(), json=body)
            check_error(answer, 404, "EVENT_NOT_FOUND")
    time.sleep(0.5)  # the loop has come by
    assert keys_of(redis, unknown) == []
    assert redis.zscore(keys.WAITING_LINES, unknown) is None


def test_looking_at_a_quiet_event_makes_no_key(service, event, redis):
    Visitor(service, event.id).status()
    Visitor(service, event.id).heartbeat()
    Visitor(service, event.id).leave()
    overview(service, event.id)
    clear_queue(service, event.id)
    assert keys_of(redis, event.id) == []


def test_every_key_vanishes_when_the_event_is_quiet(service, event, redis):
    def lives():
        return {key: redis.ttl(key) for key in keys_of(redis, event.id)}

    Visitor(service, event.id).check()
    _, seen, inside, *_ = keys.waiting_room(event.id)
    assert lives().keys() == {seen, inside}
    run_queue(service, event.id, threshold=2)
    visitors = arrive(service, event.id, 3)
    buy_seat(service, event, visitors[0].token)
    visitors[0].leave()
    check_soon(visitors[2].stands, ("queued", 1))
    visitors[1].leave()
    visitors[2].leave()
    check_soon(lambda: -1 in lives().values(), False)
    *_, pace, control, _, _ = keys.waiting_room(event.id)
    left = lives()
    assert {pace, control} <= left.keys()
    assert max(life for key, life in left.items() if "queue" in key and key != control) <= 660
    assert redis.ttl(keys.WAITING_LINES) > 0


def test_the_keys_of_an_event_share_one_hash_tag():
    tags = {key[key.index("{") : key.index("}") + 1] for key in keys.waiting_room(UNKNOWN)}
    assert tags == {f"{{{UNKNOWN}}}"}
