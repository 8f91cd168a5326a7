"""Limits of how often people and addresses do what costs, over two instances."""

import re
import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest
from redis import Redis

from tests.support.buyers import token_for
from tests.support.factories import MakeEvent, ticket
from tests.support.internal import TOKEN
from tests.support.openapi import body_schema, description, faults, resolved
from tests.support.rate_limits import (
    KINDS,
    LIMIT,
    PAUSE,
    SEARCH_SECONDS,
    SEARCHES,
    Call,
    exhaust,
    flood,
    from_stranger,
    hold,
    new_address,
    search,
    send_bad_token,
    spread,
    via,
)
from tests.support.service import Service
from tests.support.wire import check_error, check_soon
from ticket_service.stores import keys

# --- All limits alike ---


each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_what_is_too_much_is_refused_and_nobody_else_is(
    instance: Service, kind: Callable[[], Call]
):
    mine, theirs = kind(), kind()
    exhaust(partial(mine, instance), LIMIT)
    assert theirs(instance).status != 429
    assert mine(instance).status == 429


@each_kind
def test_a_limit_holds_over_all_instances(instances: list[Service], kind: Callable[[], Call]):
    assert spread(instances, kind()) == [429, 429]


# --- What the refused are told ---


def test_after_retry_after_it_is_allowed_again(instance: Service):
    address = new_address()
    refused = exhaust(partial(search, instance, address), SEARCHES)
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= SEARCH_SECONDS
    assert refused.json()["details"] == {"retryAfter": seconds}
    assert search(instance, address).status == 429  # which does not make it longer
    time.sleep(seconds)
    assert search(instance, address).status == 200


def test_the_sentence_says_for_how_long_and_whose_fault_it_is(instance: Service):
    person, address = token_for(), new_address()
    english = {"Accept-Language": "en", "Content-Type": "application/json"}
    exhaust(partial(hold, instance, person))
    mine = instance.post("/seats/reserve", token=person, json={}, headers=english).json()
    assert re.fullmatch(r"You .* in (\d+) s\.", mine["error"])
    assert str(mine["details"]["retryAfter"]) in hold(instance, person).json()["error"]
    exhaust(partial(send_bad_token, instance, address))
    ours = send_bad_token(instance, address).json()
    assert "네트워크" in ours["error"]


def test_a_refusal_is_as_described(instance: Service):
    spec = description(instance)
    person, address = token_for(), new_address()
    for method, path, call in (
        ("post", "/api/v1/seats/reserve", partial(hold, instance, person)),
        ("get", "/api/v1/events", partial(search, instance, address)),
        ("get", "/api/v1/reservations/my", partial(send_bad_token, instance, address)),
    ):
        refused = exhaust(call)
        schema = body_schema(spec, spec["paths"][path][method], "429")
        assert faults(spec, schema, refused.json()) == []
        described = resolved(spec, spec["paths"][path][method]["responses"]["429"])
        example = described["content"]["application/json"]["example"]
        assert example.keys() == refused.json().keys()
        assert example["details"].keys() == refused.json()["details"].keys()
        assert described["headers"].keys() == {"Retry-After", "X-Request-ID"}


def test_operators_see_who_is_refused(instance: Service):
    address = new_address()
    refused = 'ticket_rate_limited_total{limit="searches_per_address"}'
    before = metric(instance, refused)
    exhaust(partial(search, instance, address))
    more = flood(partial(search, instance, address), 3).count(429)
    assert metric(instance, refused) - before == 1 + more
    lines = [line for line in instance.log_lines() if line.get("of") == address]
    assert [line["limit"] for line in lines] == ["searches_per_address"]
    assert lines[0].keys() == {
        *("level", "logger", "message", "request_id", "time"),
        *("limit", "of", "seconds"),
    }


def metric(service: Service, name: str) -> float:
    lines = service.request("GET", "/metrics").body.decode().splitlines()
    [value] = [line.removeprefix(name) for line in lines if line.startswith(name)]
    return float(value)


# --- What counts ---


def test_holding_tickets_and_seats_counts_together(instance: Service, make_event: MakeEvent):
    event = make_event(tickets=[ticket()])
    person = token_for()
    line = {"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}
    order = {"eventId": event.id, "items": [line]}
    exhaust(partial(hold, instance, person))
    answer = instance.post("/reservations", token=person, json=order)
    check_error(answer, 429, "RATE_LIMITED")
    assert instance.get("/reservations/my", token=person).json() == {"reservations": []}


def test_a_valid_token_is_not_refused_for_a_neighbours_bad_ones(instance: Service):
    address, person = new_address(), token_for()
    exhaust(partial(send_bad_token, instance, address), LIMIT)
    for token in (person, token_for()):
        for _ in range(3):
            answer = instance.get("/reservations/my", token=token, headers=via(address))
            assert answer.status == 200
    old = token_for(iat=1, exp=2)
    expired = instance.get("/reservations/my", token=old, headers=via(address))
    check_error(expired, 401, "TOKEN_EXPIRED")
    assert send_bad_token(instance, address).status == 429


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Bearer a, b"},
        {"X-Internal-Token": "x"},
    ],
    ids=["bearer", "odd header", "service token"],
)
def test_bad_tokens_of_every_kind_count(instance: Service, headers: dict[str, str]):
    address = new_address()
    path = "/internal/audit" if "X-Internal-Token" in headers else "/reservations/my"
    ask = partial(instance.get, path, headers=headers | via(address))
    exhaust(ask, LIMIT)
    good = {"X-Internal-Token": TOKEN} | via(address)
    assert instance.get("/internal/audit", headers=good).status == 200


def test_no_token_and_an_expired_one_do_not_count(instance: Service):
    address = new_address()
    old = token_for(iat=1, exp=2)
    for token in (None, old):
        ask = partial(instance.get, "/reservations/my", token=token, headers=via(address))
        assert flood(ask, 3 * LIMIT) == [401] * 3 * LIMIT


def test_searches_from_the_cache_do_not_count(instance: Service):
    address = new_address()
    words = f"/events?q={address}&page="
    for _ in range(10 * SEARCHES):
        assert instance.get(f"{words}1", headers=via(address)).status == 200
    lists = [f"/events?limit={number}" for number in range(1, 10 * SEARCHES)]
    assert {instance.get(path, headers=via(address)).status for path in lists} == {200}
    exhaust(partial(search, instance, address))
    assert instance.get("/events?limit=3", headers=via(address)).status == 200


# --- Whose address it is ---


def test_what_a_client_says_before_the_proxy_counts_for_nothing(instance: Service):
    address = new_address()
    invented = iter(new_address() for _ in range(1_000))
    exhaust(lambda: send_bad_token(instance, address, next(invented)), LIMIT)
    victim = new_address()
    flood(partial(send_bad_token, instance, address, victim), 3 * LIMIT)
    assert send_bad_token(instance, victim).status == 401


def test_a_chain_of_trusted_proxies_is_followed(instance: Service):
    address = new_address()
    headers = via("garbage", address, "11.255.0.7")
    ask = partial(instance.get, "/reservations/my", token="x.y.z", headers=headers)
    exhaust(ask, LIMIT)
    assert send_bad_token(instance, address).status == 429


def test_a_header_from_anybody_else_counts_for_nothing(instance: Service):
    victim = new_address()
    bad = {"Authorization": "Bearer x.y.z", **via(victim)}
    for _ in range(3 * LIMIT):
        assert from_stranger(instance, "/api/v1/reservations/my", bad) == 401
    assert send_bad_token(instance, victim).status == 401


def test_addresses_of_one_ipv6_network_count_together(instance: Service):
    network = "2600:" + ":".join(f"{int(part):x}" for part in new_address().split(".")[1:])
    written = iter([f"[{network}::1]:4711", f"{network}::2", f"{network}:0:ffff:0:3"] * 100)
    exhaust(lambda: send_bad_token(instance, next(written)), LIMIT)
    assert send_bad_token(instance, f"{network}::4").status == 429
    assert send_bad_token(instance, f"{network.rpartition(':')[0]}:fffe::1").status == 401


# --- In Redis ---


def test_counters_end_with_their_window_and_share_a_hash_tag(instance: Service, redis: Redis):
    address = new_address()
    search(instance, address)
    time.sleep(PAUSE)
    [counter] = map(str, redis.keys(f"ticket:*{address}*"))
    assert counter.startswith(f"{keys.RATE_LIMITS}/")
    assert 0 < redis.pttl(counter) <= SEARCH_SECONDS * 1000
    assert redis.get(counter) == "1"


def test_counters_that_an_operator_deletes_are_forgotten(instance: Service, redis: Redis):
    user_id = str(uuid4())
    person = token_for(user_id)
    exhaust(partial(hold, instance, person), LIMIT)
    redis.delete(*redis.keys(f"{keys.RATE_LIMITS}/*{user_id}*"))
    check_soon(lambda: hold(instance, person).status, 400)
