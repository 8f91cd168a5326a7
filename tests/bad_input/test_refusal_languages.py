"""The language of refusals: Korean, unless English is preferred."""

from typing import Any

import pytest

from tests.support.bad_input import UUID
from tests.support.buyers import token_for
from tests.support.service import Service
from tests.support.wire import check_error, is_korean


@pytest.mark.parametrize(
    ("accept_language", "korean"),
    [
        (None, True),
        ("", True),
        ("ko", True),
        ("ko-KR", True),
        ("ko,en;q=0.5", True),
        ("ko-KR,en;q=0.5", True),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", True),
        ("en;q=0.4,ko;q=0.5", True),
        ("en;q=0", True),
        ("*", True),
        ("fr", True),
        ("nonsense;;q=,=", True),
        ("en", False),
        ("EN", False),
        ("en-GB", False),
        ("en-US,en;q=0.9,ko;q=0.8", False),
        ("en-US,ko;q=0.5", False),
        ("ko;q=0.5,en", False),
        ("fr,en;q=0.1", False),
    ],
)
def test_refusals_are_korean_unless_english_is_preferred(
    service: Service, accept_language: str | None, korean: bool
):
    headers = {} if accept_language is None else {"Accept-Language": accept_language}
    error = check_error(service.get("/nothing", headers=headers), 404, "NOT_FOUND")
    assert is_korean(error["error"]) is korean


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/events?page=0", {}, 400, "VALIDATION_ERROR"),
        ("GET", "/events/x", {}, 400, "VALIDATION_ERROR"),
        ("GET", f"/events/{UUID}", {}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/seats/events/{UUID}", {}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/tickets/availability/{UUID}", {}, 404, "TICKET_TYPE_NOT_FOUND"),
        ("GET", "/reservations/my", {}, 401, "AUTHENTICATION_REQUIRED"),
        ("GET", "/reservations/my", {"token": "x"}, 401, "INVALID_TOKEN"),
        ("GET", "/reservations/my", {"token": token_for(exp=1)}, 401, "TOKEN_EXPIRED"),
        ("GET", f"/reservations/{UUID}", {"token": "valid"}, 404, "RESERVATION_NOT_FOUND"),
        ("POST", f"/queue/check/{UUID}", {"token": "valid"}, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/queue/admin/{UUID}", {"token": "valid"}, 403, "FORBIDDEN"),
        ("POST", "/reservations", {"token": "valid", "body": "{}"}, 415, "VALIDATION_ERROR"),
        ("POST", "/reservations", {"token": "valid", "json": {}}, 400, "VALIDATION_ERROR"),
        ("POST", "/events", {}, 405, "VALIDATION_ERROR"),
        ("GET", "/nothing", {}, 404, "NOT_FOUND"),
    ],
)
def test_every_refusal_speaks_both_languages(
    service: Service, method: str, path: str, options: dict[str, Any], status: int, code: str
):
    if options.get("token") == "valid":
        options = {**options, "token": token_for()}
    for language, korean in (("ko", True), ("en", False)):
        headers = {"Accept-Language": language}
        answer = service.request(method, f"/api/v1{path}", headers=headers, **options)
        assert is_korean(check_error(answer, status, code)["error"]) is korean
