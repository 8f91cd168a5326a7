"""flask-jwt-extended with our verifier: the same tokens, decoded once."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask
from flask_jwt_extended import decode_token, get_jwt, get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import NoAuthorizationError

from tests.support.service import JWT_SECRET
from tests.support.tokens import UUID, claims, signed
from ticket_service.errors import InvalidToken, ServiceError, TokenExpired
from ticket_service.http.auth import TokenManager
from ticket_service.http.tokens import TokenVerifier


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask(__name__)
    app.config["JWT_IDENTITY_CLAIM"] = "userId"
    TokenManager(app, TokenVerifier(JWT_SECRET, "HS256"))
    with app.app_context():
        yield app


def test_a_good_token_is_taken_in_one_pass(app: Flask, monkeypatch: pytest.MonkeyPatch):
    token, passes = signed(claims()), []
    decode = jwt.decode

    def counted(*args: Any, **kwargs: Any) -> Any:
        passes.append(args)
        return decode(*args, **kwargs)

    monkeypatch.setattr(jwt, "decode", counted)
    with app.test_request_context(headers={"Authorization": f"Bearer {token}"}):
        verify_jwt_in_request()
        assert (get_jwt_identity(), get_jwt()["role"]) == (UUID, "user")
    assert len(passes) == 1
    assert decode_token(token)["userId"] == UUID


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        (signed(claims(), key="another secret, of which nobody here has ever heard"), InvalidToken),
        (jwt.encode(claims(), "", algorithm="none"), InvalidToken),
        ("", InvalidToken),
        (signed(claims(exp=1)), TokenExpired),
    ],
    ids=["secret", "none", "empty", "expired"],
)
def test_a_bad_token_is_refused(app: Flask, token: str, refusal: type[ServiceError]):
    with pytest.raises(refusal):
        decode_token(token)
    with pytest.raises(refusal):
        decode_token(token, allow_expired=True)


def test_a_request_without_a_token_is_refused(app: Flask):
    with app.test_request_context(), pytest.raises(NoAuthorizationError):
        verify_jwt_in_request()
