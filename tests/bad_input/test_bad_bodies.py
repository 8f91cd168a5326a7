"""Bodies that no client should send: refused in the one shape, with nothing changed."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.bad_input import NOT_IDS, UUID, MakeOrder, orders, ticket_order
from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.service import Service
from tests.support.wire import check_error, each


@orders
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'eventId': 1}",
        b'{"eventId": NaN}',
        b'{"eventId": "\xff"}',
        b'{"eventId": "\\ud800"}',
        b'{"eventId": "\\udc00\\ud800"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{}{}",
        b"[" * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
        b"9" * 20_000,
        b"[]",
        b"null",
        b"true",
        b"5",
        b'"text"',
        b"[{}]",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_must_be_a_json_object(
    service: Service, event: Event, path: str, order: MakeOrder, body: bytes
):
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=body, headers=json_type)
    check_error(answer, 400, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ";"],
)
def test_a_body_must_say_that_it_is_json(
    service: Service, event: Event, path: str, order: MakeOrder, content_type: str | None
):
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps(order(event))
    answer = service.post(path, token=token_for(), body=body, headers=headers)
    check_error(answer, 415, "VALIDATION_ERROR")


@orders
def test_a_huge_body_is_refused(service: Service, event: Event, path: str, order: MakeOrder):
    body = json.dumps(order(event)) + " " * 100_000
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=body, headers=json_type)
    check_error(answer, 413, "VALIDATION_ERROR")


@orders
def test_a_huge_body_of_unknown_length_is_refused(
    service: Service, event: Event, path: str, order: MakeOrder
):
    chunks = [json.dumps(order(event)).encode(), *[b" " * 1_000] * 100]
    json_type = {"Content-Type": "application/json"}
    answer = service.post(path, token=token_for(), body=iter(chunks), headers=json_type)
    check_error(answer, 413, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize("wrong", NOT_IDS, ids=repr)
def test_an_event_id_in_a_body_must_be_a_uuid(
    service: Service, event: Event, path: str, order: MakeOrder, wrong: object
):
    body = {**order(event), "eventId": wrong}
    error = check_error(service.post(path, token=token_for(), json=body), 400, "VALIDATION_ERROR")
    assert error["details"].keys() == {"eventId"}


@orders
def test_every_field_is_needed(service: Service, event: Event, path: str, order: MakeOrder):
    whole = order(event)
    for name in whole:
        body = {field: value for field, value in whole.items() if field != name}
        answer = service.post(path, token=token_for(), json=body)
        assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


@orders
def test_an_unknown_field_is_refused(service: Service, event: Event, path: str, order: MakeOrder):
    answer = service.post(path, token=token_for(), json={**order(event), "price": 1})
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"price"}


@pytest.mark.parametrize("wrong", NOT_IDS, ids=repr)
def test_a_seat_id_must_be_a_uuid(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "seatIds": [event.seat_ids[0], wrong]}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize("wrong", [None, {}, "text", 5, True, UUID, {"0": UUID}], ids=repr)
def test_seat_ids_must_be_a_list(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "seatIds": wrong}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize(
    "choose",
    [
        lambda seats: [],
        lambda seats: seats[:5],
        lambda seats: seats[:1] * 2,
        lambda seats: [seats[0], seats[1], seats[0]],
        lambda seats: [seats[0], seats[0].upper()],
        lambda seats: [str(uuid4()) for _ in range(1_001)],
    ],
    ids=["none", "too many", "twice", "twice apart", "twice in other case", "far too many"],
)
def test_one_to_four_seats_once_each(
    service: Service, event: Event, choose: Callable[[list[str]], list[str]]
):
    body = {"eventId": event.id, "seatIds": choose(event.seat_ids)}
    answer = service.post("/seats/reserve", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"seatIds"}


@pytest.mark.parametrize(
    "wrong",
    [None, {}, "text", 5, True, [], [None], [5], ["text"], [[]], [{}], [{"quantity": 1}]],
    ids=repr,
)
def test_items_must_be_a_list_of_lines(service: Service, event: Event, wrong: object):
    body = {"eventId": event.id, "items": wrong}
    answer = service.post("/reservations", token=token_for(), json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"items"}


@pytest.mark.parametrize(
    "line",
    [
        *each("ticketTypeId", *NOT_IDS),
        *each("quantity", 0, -1, 11, True, "1", 1.5, 1.0, None, [], 2**31, 2**63, 2**64, 10**400),
        {"price": 1},
    ],
    ids=lambda line: repr(line)[:50],
)
def test_a_line_must_name_a_ticket_type_and_a_quantity(
    service: Service, event: Event, line: dict[str, object]
):
    order = ticket_order(event)
    order["items"][0].update(line)
    answer = service.post("/reservations", token=token_for(), json=order)
    check_error(answer, 400, "VALIDATION_ERROR")


def test_lines_of_one_ticket_type_do_not_set_each_other_off(service: Service, event: Event):
    order = ticket_order(event)
    order["items"] += [{**order["items"][0], "quantity": quantity} for quantity in (2, -2)]
    answer = service.post("/reservations", token=token_for(), json=order)
    check_error(answer, 400, "VALIDATION_ERROR")


def test_too_many_lines_are_refused(service: Service, event: Event):
    lines = [{"ticketTypeId": str(uuid4()), "quantity": 1} for _ in range(101)]
    body = {"eventId": event.id, "items": lines}
    answer = service.post("/reservations", token=token_for(), json=body)
    check_error(answer, 400, "VALIDATION_ERROR")


@orders
@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "a\tb", "é", "\xff"])
def test_an_idempotency_key_is_a_word(
    service: Service, event: Event, path: str, order: MakeOrder, key: str
):
    headers = {"Idempotency-Key": key}
    answer = service.post(path, token=token_for(), json=order(event), headers=headers)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {"Idempotency-Key"}
