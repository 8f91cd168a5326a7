"""Which calls are answered without Flask, and what is answered there."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask, has_request_context

from tests.support.service import JWT_SECRET
from tests.support.tokens import UUID, claims, signed
from ticket_service.config import Settings
from ticket_service.errors import ServiceUnavailable
from ticket_service.http.access import public_document
from ticket_service.http.auth import admin_only, service_only, signed_in
from ticket_service.http.direct import DirectLane
from ticket_service.http.limits import EXTENSION, Limits
from ticket_service.http.parsing import init_requests
from ticket_service.http.responses import (
    REQUEST_ID,
    ROUTE,
    USER_ID,
    Answer,
    Read,
    answer,
    current_environ,
)
from ticket_service.http.tokens import TokenVerifier
from ticket_service.stores.documents import Document
from ticket_service.stores.redis import Redis

ID = "885ab2e1-d6b2-4a74-a619-c76a5b6b85bf"


def echo(user_id: str, **ids: str) -> Answer:
    return answer({"user": user_id, "ids": ids, "flask": has_request_context()})


def for_everybody(**ids: str) -> Answer:
    return answer(ids)


def document(**ids: str) -> Read:
    return lambda: Document(b"{}")


def refusing(user_id: str) -> Answer:
    raise ServiceUnavailable


def failing(user_id: str) -> Answer:
    raise KeyError(user_id)


VIEWS: dict[str, Callable[..., Any]] = {
    "/mine": signed_in(echo),
    "/mine/<id:thing_id>": signed_in(echo),
    "/mine/<id:thing_id>/part": signed_in(echo),
    "/mine/<id:thing_id>/<id:part_id>": signed_in(echo),
    "/mine/by-name/<name>": signed_in(echo),
    "/all/<id:thing_id>": admin_only(for_everybody),
    "/service/<id:thing_id>": service_only(for_everybody),
    "/public/<id:thing_id>": public_document(document),
    "/open/<id:thing_id>": for_everybody,
    "/refusing": signed_in(refusing),
    "/failing": signed_in(failing),
}


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> DirectLane:
    monkeypatch.setenv("JWT_SECRET", JWT_SECRET)
    app = Flask(__name__)
    init_requests(app)
    app.extensions["ticket_service.tokens"] = TokenVerifier(JWT_SECRET, "HS256")
    settings = Settings.from_environment()
    app.extensions[EXTENSION] = Limits(settings, Redis(settings.redis_url))
    for rule, view in VIEWS.items():
        app.add_url_rule(rule, rule.replace("/", "_"), view)
    return DirectLane(app)


def environ(
    path: str, method: str = "GET", authorization: str = "Bearer {token}"
) -> dict[str, Any]:
    made = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_AUTHORIZATION": authorization.format(token=signed(claims())),
        REQUEST_ID: "test",
    }
    current_environ.set(made)
    return made


@pytest.mark.parametrize(
    ("path", "rule", "ids"),
    [
        ("/mine", "/mine", {}),
        (f"/mine/{ID.upper()}", "/mine/<id:thing_id>", {"thing_id": ID}),
        (f"/mine/{ID}/part", "/mine/<id:thing_id>/part", {"thing_id": ID}),
    ],
)
def test_calls_of_signed_in_people_are_answered(
    lane: DirectLane, path: str, rule: str, ids: dict[str, str]
):
    request = environ(path)
    answered = lane.answer(request)
    assert answered is not None
    assert orjson.loads(answered.body) == {"user": UUID, "ids": ids, "flask": False}
    assert (request[ROUTE], request[USER_ID]) == (rule, UUID)


@pytest.mark.parametrize(
    "request_",
    [
        (f"/mine/{ID}/{ID}",),
        ("/mine/by-name/x",),
        (f"/mine/by-name/{ID}",),
        (f"/all/{ID}",),
        (f"/service/{ID}",),
        (f"/public/{ID}",),
        (f"/open/{ID}",),
        ("/nothing",),
        ("/mine/<id>",),
        ("/mine/<id:thing_id>",),
        (f"/mine/<id>/{ID}",),
        (f"/mine/{ID}/<id>",),
        ("/mine/",),
        (f"/mine/{ID[:-1]}",),
        (f"/mine/{ID}0",),
        (f"/mine/x{ID}",),
        ("/mine", "HEAD"),
        ("/mine", "OPTIONS"),
        ("/mine", "POST"),
        ("/mine", "GET", " "),
        ("/mine", "GET", "Bearer"),
        ("/mine", "GET", "Basic dXNlcjpwYXNz"),
        ("/mine", "GET", "Basic dXNlcjpwYXNz, Bearer {token}"),
        ("/mine", "GET", "bearer {token}"),
    ],
)
def test_everything_else_is_left_to_flask(lane: DirectLane, request_: tuple[str, ...]):
    request = environ(*request_)
    assert lane.answer(request) is None
    assert ROUTE not in request


@pytest.mark.parametrize(
    ("token", "code"),
    [("x.y.z", "INVALID_TOKEN"), (signed(claims(iat=0, exp=1)), "TOKEN_EXPIRED")],
    ids=["malformed", "expired"],
)
def test_a_token_that_is_not_valid_is_refused(lane: DirectLane, token: str, code: str):
    answered = lane.answer(environ("/mine", authorization=f"Bearer {token}"))
    assert answered is not None
    assert (answered.status, orjson.loads(answered.body)["code"]) == (401, code)


def test_what_a_view_raises_is_answered(lane: DirectLane, caplog: pytest.LogCaptureFixture):
    refused, failed = lane.answer(environ("/refusing")), lane.answer(environ("/failing"))
    assert refused is not None
    assert refused.status == 503
    assert "Retry-After" in dict(refused.headers)
    assert failed is not None
    assert (failed.status, orjson.loads(failed.body)["code"]) == (500, "INTERNAL_ERROR")
    assert [record.message for record in caplog.records] == ["unhandled"]
