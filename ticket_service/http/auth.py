"""Who is calling: the Auth Service's JWT (docs/contract.md, "Tokens")."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from cachetools import LRUCache
from flask import Flask, current_app, request
from flask_jwt_extended import JWTManager, decode_token, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException, NoAuthorizationError
from jwt import ExpiredSignatureError, PyJWTError

from ticket_service.config import Settings
from ticket_service.errors import AuthenticationRequired, Forbidden, InvalidToken, TokenExpired
from ticket_service.http.fields import UUID_PATTERN
from ticket_service.http.responses import USER_ID

ROLES = ("user", "admin")

CLOCK_SKEW = 10
"""Seconds that the Auth Service's clock may be ahead of ours when it stamps `iat`."""

KEPT_CALLERS = 20_000
"""Checked tokens kept: a browser sends the same one with every request, and checking it takes a
third of a millisecond."""


def init_auth(app: Flask, settings: Settings) -> None:
    """Tell flask-jwt-extended how the Auth Service signs."""
    app.config.update(
        JWT_IDENTITY_CLAIM="userId",
        JWT_ALGORITHM=settings.jwt_algorithm,
        JWT_DECODE_ALGORITHMS=[settings.jwt_algorithm],
        JWT_SECRET_KEY=settings.jwt_key,
        JWT_PUBLIC_KEY=settings.jwt_key,
        JWT_DECODE_LEEWAY=CLOCK_SKEW,
    )
    JWTManager(app)
    app.extensions["ticket_service.callers"] = LRUCache(KEPT_CALLERS)
    app.extensions["ticket_service.service_token"] = settings.service_token.encode()


class Caller(NamedTuple):
    """Who a valid token belongs to, and until when (seconds since the epoch)."""

    user_id: str
    role: str
    expires_at: float


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view with the user id of a valid token as its first argument.

    Raises AuthenticationRequired, TokenExpired or InvalidToken, before anything else is looked at.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return view(_caller().user_id, *args, **kwargs)

    return guarded


def admin_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view for an admin. Raises Forbidden for others, and what `signed_in` raises."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _caller().role != "admin":
            raise Forbidden
        return view(*args, **kwargs)

    return guarded


def service_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view for another service of the house, which has the service token.

    Raises AuthenticationRequired without one, Forbidden with a wrong one, or where none is set.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token: bytes = current_app.extensions["ticket_service.service_token"]
        given = request.headers.get("X-Internal-Token")
        if given is None:
            raise AuthenticationRequired
        if not token or not hmac.compare_digest(given.encode(), token):
            raise Forbidden
        return view(*args, **kwargs)

    return guarded


def caller_of_token(token: str) -> Caller:
    """Who a token that did not come in a header belongs to. Raises TokenExpired or InvalidToken."""
    return _checked(f"Bearer {token}", lambda: decode_token(token))


def _caller() -> Caller:
    """The caller of this request."""
    caller = _checked(request.headers.get("Authorization"), _claims_of_request)
    request.environ[USER_ID] = caller.user_id
    return caller


def _claims_of_request() -> dict[str, Any]:
    verify_jwt_in_request()
    claims: dict[str, Any] = get_jwt()
    return claims


def _checked(header: str | None, read_claims: Callable[[], dict[str, Any]]) -> Caller:
    """The caller who sends this header, from the kept ones or by checking the token."""
    kept: LRUCache[bytes, Caller] = current_app.extensions["ticket_service.callers"]
    # A header may have 8 kB, so what is kept is its hash.
    key = hashlib.sha256((header or "").encode("utf-8", "surrogatepass")).digest()
    caller = kept.get(key)
    if caller is None:
        caller = kept[key] = _verify(read_claims)
    if caller.expires_at <= time.time():  # also for a fresh one: the skew is not for the end
        raise TokenExpired
    return caller


def _verify(read_claims: Callable[[], dict[str, Any]]) -> Caller:
    try:
        claims = read_claims()
    except NoAuthorizationError as error:
        raise AuthenticationRequired from error
    except ExpiredSignatureError as error:
        raise TokenExpired from error
    except (JWTExtendedException, PyJWTError, ValueError) as error:
        raise InvalidToken from error
    user_id, role, expires_at = (claims.get(name) for name in ("userId", "role", "exp"))
    if not isinstance(user_id, str) or not UUID_PATTERN.fullmatch(user_id):
        raise InvalidToken
    if claims.get("type") == "refresh":  # as flask-jwt-extended has it for headers
        raise InvalidToken
    if role not in ROLES or not isinstance(expires_at, int | float):
        raise InvalidToken
    return Caller(user_id.lower(), role, expires_at)
