"""What the Payment Service tells us: who may say it, and what may be said."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg2.extensions import connection as Connection

from tests.support.bad_input import MALFORMED_IDS
from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.internal import SERVICE, TOKEN, tell_payment
from tests.support.payments import buy_seats, state, verdicts
from tests.support.service import Response, Service
from tests.support.wire import check_error

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"


# Who may call


def test_only_the_service_token_opens_the_internal_calls(
    service: Service, event: Event, database: Connection
):
    held = buy_seats(service, event, 0)
    body = {"status": "completed", "paymentMethod": "card", "paymentId": str(uuid4())}
    for method, path in (
        ("POST", f"/api/v1/internal/reservations/{held}/payment"),
        ("GET", "/api/v1/internal/audit"),
    ):

        def ask(
            method: str = method,
            path: str = path,
            token: str | None = None,
            headers: dict[str, str] | None = None,
        ) -> Response:
            json = body if method == "POST" else None
            return service.request(method, path, token=token, headers=headers, json=json)

        for user in (None, token_for(), token_for(role="admin"), TOKEN):
            check_error(ask(token=user), 401, "AUTHENTICATION_REQUIRED")
        for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xff", token_for()):
            check_error(ask(headers={"X-Internal-Token": wrong}), 403, "FORBIDDEN")
            check_error(ask(token=TOKEN, headers={"X-Internal-Token": wrong}), 403, "FORBIDDEN")
    assert state(database, held) == ("pending", "pending")
    assert verdicts(database, held) == []


def test_the_token_is_wanted_before_the_body_is_looked_at(service: Service):
    path = f"/internal/reservations/{UUID}/payment"
    check_error(service.post(path, body="{broken"), 401, "AUTHENTICATION_REQUIRED")
    wrong = {"X-Internal-Token": "x"}
    check_error(service.post(path, body="{broken", headers=wrong), 403, "FORBIDDEN")


def test_where_no_token_is_set_nobody_comes_in(
    start_service: Callable[..., Service], database_url: str
):
    closed = start_service(DATABASE_URL=database_url)
    for given in ("", " ", TOKEN, "None"):
        headers = {"X-Internal-Token": given}
        check_error(closed.get("/internal/audit", headers=headers), 403, "FORBIDDEN")
    check_error(closed.get("/internal/audit"), 401, "AUTHENTICATION_REQUIRED")
    closed.kill()


# What may be said


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"status": "paid"}, "status"),
        ({"status": None}, "status"),
        ({"status": ["completed"]}, "status"),
        ({"paymentId": ""}, "paymentId"),
        ({"paymentId": None}, "paymentId"),
        ({"paymentId": 5}, "paymentId"),
        ({"paymentId": "x" * 256}, "paymentId"),
        ({"paymentId": "a\0b"}, "paymentId"),
        ({"paymentId": "\ud800"}, None),
        ({"paymentMethod": "x" * 51}, "paymentMethod"),
        ({"paymentMethod": {}}, "paymentMethod"),
        ({"amount": 1}, "amount"),
    ],
    ids=repr,
)
def test_a_bad_notice_is_refused(
    service: Service, event: Event, database: Connection, wrong: dict[str, Any], field: str | None
):
    held = buy_seats(service, event, 0)
    body = {"status": "completed", "paymentMethod": "card", "paymentId": str(uuid4()), **wrong}
    path = f"/internal/reservations/{held}/payment"
    if field is None:
        text = '{"status": "completed", "paymentId": "\\ud800"}'
        answer = service.post(
            path, headers={**SERVICE, "Content-Type": "application/json"}, body=text
        )
        check_error(answer, 400, "VALIDATION_ERROR")
    else:
        answer = service.post(path, headers=SERVICE, json=body)
        assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {field}
    assert state(database, held) == ("pending", "pending")
    assert verdicts(database, held) == []


@pytest.mark.parametrize("name", ["status", "paymentId"])
def test_what_is_needed_of_a_notice(service: Service, name: str):
    body = {"status": "completed", "paymentId": str(uuid4())}
    del body[name]
    path = f"/internal/reservations/{UUID}/payment"
    answer = service.post(path, headers=SERVICE, json=body)
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


def test_a_payment_for_nothing_is_not_found(service: Service, database: Connection):
    for status in ("completed", "failed"):
        unknown = tell_payment(service, UUID, status)
        check_error(unknown, 404, "RESERVATION_NOT_FOUND")
    for wrong in MALFORMED_IDS:
        check_error(tell_payment(service, quote(wrong)), 400, "VALIDATION_ERROR")
    assert verdicts(database, UUID) == []
