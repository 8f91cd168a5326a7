"""Who is calling, by the token in the request's header (docs/contract.md, "Tokens").

Views are guarded by `signed_in`, `admin_only` and `service_only`. The header that browsers send,
`Authorization: Bearer <token>`, is read here and goes straight to the verifier. Whatever else a
client sends there is flask-jwt-extended's to read or to refuse. It decodes with the same verifier,
so its `verify_jwt_in_request`, `jwt_required` and `decode_token` accept the same tokens.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, current_app, request
from flask_jwt_extended import JWTManager, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException, NoAuthorizationError

from ticket_service.config import Settings
from ticket_service.errors import AuthenticationRequired, Forbidden, InvalidToken
from ticket_service.http.access import Access, declare
from ticket_service.http.responses import USER_ID
from ticket_service.http.tokens import Caller, TokenVerifier, caller_of, check_end


class TokenManager(JWTManager):
    """flask-jwt-extended, which would read each token four times, with our verifier."""

    def __init__(self, app: Flask, verifier: TokenVerifier) -> None:
        super().__init__(app)
        self._verifier = verifier

    def _decode_jwt_from_config(
        self, encoded_token: str, csrf_value: str | None = None, allow_expired: bool = False
    ) -> dict[str, Any]:
        """The claims. Raises TokenExpired, also where `allow_expired`, or InvalidToken. Tokens
        come in no cookie, so there is no `csrf_value`."""
        return {"type": "access", "fresh": False} | self._verifier.decode(encoded_token)


def init_auth(app: Flask, settings: Settings, verifier: TokenVerifier) -> None:
    """Have views check tokens with this verifier."""
    app.config["JWT_IDENTITY_CLAIM"] = "userId"
    app.extensions["ticket_service.tokens"] = verifier
    TokenManager(app, verifier)
    app.extensions["ticket_service.service_token"] = settings.service_token.encode()


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view with the user id of a valid token as its first argument.

    Raises AuthenticationRequired, TokenExpired or InvalidToken, before anything else is looked at.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return view(_caller().user_id, *args, **kwargs)

    return declare(guarded, Access.GUARDED)


def admin_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view for an admin. Raises Forbidden for others, and what `signed_in` raises."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _caller().role != "admin":
            raise Forbidden
        return view(*args, **kwargs)

    return declare(guarded, Access.GUARDED)


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

    return declare(guarded, Access.GUARDED)


def _caller() -> Caller:
    """The caller of this request."""
    header = request.headers.get("Authorization", "")
    words = header.split()
    if len(words) == 2 and words[0] == "Bearer" and "," not in header:
        verifier: TokenVerifier = current_app.extensions["ticket_service.tokens"]
        caller = verifier.verify(words[1])
    else:
        caller = _caller_of_odd_header()
    request.environ[USER_ID] = caller.user_id
    return caller


def _caller_of_odd_header() -> Caller:
    """The caller whose header is empty, of another scheme, a list of several, or no header."""
    try:
        verify_jwt_in_request()
    except NoAuthorizationError as error:
        raise AuthenticationRequired from error
    except JWTExtendedException as error:
        raise InvalidToken from error
    caller = caller_of(get_jwt())
    check_end(caller)
    return caller
