"""Limits of connecting over Socket.IO."""

from functools import partial
from itertools import cycle

from tests.support.buyers import token_for
from tests.support.rate_limits import (
    BAD_TOKEN,
    LIMIT,
    exhaust,
    new_address,
    open_polling,
    send_bad_token,
    sign_in,
)
from tests.support.service import Service
from tests.support.websocket import handshake, raw, websocket
from tests.support.wire import check_soon


def test_a_person_may_connect_so_often_over_all_instances(instances: list[Service]):
    person, turns = token_for(), cycle(instances)
    for _ in range(LIMIT - 2):
        assert sign_in(next(turns), person, new_address()) is None
    refusals = partial(sign_in, instances[0], person, new_address())
    check_soon(lambda: refusals() is not None, True)
    for instance in instances:
        check_soon(lambda one=instance: sign_in(one, person, new_address()) is not None, True)
        assert sign_in(instance, token_for(), new_address()) is None
    error = refusals()
    assert error is not None
    assert error["data"]["code"] == "RATE_LIMITED"
    assert error["message"] == error["data"]["error"]
    assert "authentication" not in error["message"]  # for which browsers would log in
    assert 1 <= error["data"]["details"]["retryAfter"] <= 300


def test_whoever_signs_in_does_not_count_for_the_address(instances: list[Service]):
    address, turns = new_address(), cycle(instances)
    for _ in range(3 * LIMIT):
        assert sign_in(next(turns), token_for(), address) is None
    exhaust(partial(open_polling, instances[0], address), LIMIT)


def test_whoever_does_not_sign_in_is_refused_at_the_handshake(instances: list[Service]):
    [instance, other], address = instances, new_address()
    with websocket(instance.port) as before:

        def refused(service: Service) -> bool:
            with raw(service.port) as connection:
                connection.send(handshake(X_Forwarded_For=address, Accept_Language="en"))
                answer = connection.read_until(rb"101 [\s\S]*\{.*\}|HTTP/1.1 [45][\s\S]*\{.*\}")
            if b" 101 " in answer:
                return False
            assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"\r\nRetry-After: " in answer
            assert b'"code":"RATE_LIMITED"' in answer
            assert b"your network" in answer
            return True

        check_soon(lambda: refused(instance), True)
        check_soon(lambda: refused(other), True)
        assert open_polling(instance, address).status == 429
        assert open_polling(instance, new_address()).status == 200
        before.say('421["leave-event","x"]')  # whoever is in stays in
        before.read_until(rb"431\[")


def test_a_bad_token_on_a_socket_counts_like_any_other(instances: list[Service]):
    [instance, _], address = instances, new_address()
    for _ in range(3):
        error = sign_in(instance, BAD_TOKEN, address)
        assert error is not None
        assert error["data"]["code"] == "INVALID_TOKEN"
    exhaust(partial(send_bad_token, instance, address), LIMIT - 3)
    error = sign_in(instance, BAD_TOKEN, address)
    assert error is not None
    assert error["data"]["code"] == "RATE_LIMITED"
    assert sign_in(instance, token_for(), address) is None


def test_no_token_and_an_expired_one_do_not_count(instances: list[Service]):
    [instance, _] = instances
    address = new_address()
    for _ in range(LIMIT - 2):
        assert sign_in(instance, token_for(iat=1, exp=2), address) is not None
    exhaust(partial(send_bad_token, instance, address), LIMIT)
