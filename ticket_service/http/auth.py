"""Who is calling, by the token in the request's header (docs/contract.md, "Tokens").

Views are guarded by `signed_in`, `admin_only` and `service_only`. The header that browsers send,
`Authorization: Bearer <token>`, is read here, and its token is checked by the verifier. Any other
header is read or refused by flask-jwt-extended. It decodes with the same verifier, so its
`verify_jwt_in_request`, `jwt_required` and `decode_token` accept the same tokens.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, current_app
from flask_jwt_extended import JWTManager, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException, NoAuthorizationError

from ticket_service.config import Settings
from ticket_service.errors import AuthenticationRequired, Forbidden, InvalidToken, ServiceError
from ticket_service.http.access import Access, declare
from ticket_service.http.limits import current_limits
from ticket_service.http.responses import USER_ID, Environ, current_environ
from ticket_service.http.tokens import Caller, TokenVerifier, caller_of, check_end


class TokenManager(JWTManager):
    """flask-jwt-extended with our verifier, since its own code reads each token four times."""

    def __init__(self, app: Flask, verifier: TokenVerifier) -> None:
        super().__init__(app)
        self._verifier = verifier

    def _decode_jwt_from_config(
        self, encoded_token: str, csrf_value: str | None = None, allow_expired: bool = False
    ) -> dict[str, Any]:
        """Return the claims. Raises TokenExpired, also with `allow_expired`, or InvalidToken.

        `csrf_value` is for tokens in cookies, which we do not accept.
        """
        return {"type": "access", "fresh": False} | self._verifier.decode(encoded_token)


def init_auth(app: Flask, settings: Settings, verifier: TokenVerifier) -> None:
    """Make the guards check tokens with this verifier."""
    app.config["JWT_IDENTITY_CLAIM"] = "userId"
    app.extensions["ticket_service.tokens"] = verifier
    TokenManager(app, verifier)
    app.extensions["ticket_service.service_token"] = settings.service_token.encode()


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view with the user id of a valid token as its first argument.

    Raises AuthenticationRequired, TokenExpired, InvalidToken or, if too many bad tokens come from
    the same address, TooManyFromAddress; all before the request is parsed.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return view(_caller().user_id, *args, **kwargs)

    return declare(guarded, Access.SIGNED_IN)


def admin_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view for an admin. Raises Forbidden for others, and what `signed_in` raises."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _caller().role != "admin":
            raise Forbidden
        return view(*args, **kwargs)

    return declare(guarded, Access.ADMIN)


def service_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view for another service that sends the service token.

    Raises AuthenticationRequired without a token, and Forbidden if it is wrong or none is set, or
    TooManyFromAddress instead.
    """
    return _with_service_token(view, AuthenticationRequired)


def service_or_forbidden(view: Callable[..., Any]) -> Callable[..., Any]:
    """As `service_only`, but Forbidden also without a token."""
    return _with_service_token(view, Forbidden)


def _with_service_token(
    view: Callable[..., Any], missing: type[ServiceError]
) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token: bytes = current_app.extensions["ticket_service.service_token"]
        environ = current_environ.get()
        given = environ.get("HTTP_X_INTERNAL_TOKEN")
        if given is None:
            raise missing
        if not token or not hmac.compare_digest(given.encode(), token):
            current_limits().bad_tokens.hit(environ)
            raise Forbidden
        return view(*args, **kwargs)

    return declare(guarded, Access.SERVICE)


def bearer_token(environ: Environ) -> str | None:
    """The token in the header that browsers send. None if the header is absent or another one."""
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    words = header.split()
    if len(words) == 2 and words[0] == "Bearer" and "," not in header:
        return words[1]
    return None


def _caller() -> Caller:
    """Return the caller of this request."""
    environ = current_environ.get()
    token = bearer_token(environ)
    try:
        if token is None:
            caller = _caller_of_odd_header()
        else:
            verifier: TokenVerifier = current_app.extensions["ticket_service.tokens"]
            caller = verifier.verify(token)
    except InvalidToken:  # which no person has; an expired token once was somebody's
        current_limits().bad_tokens.hit(environ)
        raise
    environ[USER_ID] = caller.user_id
    return caller


def _caller_of_odd_header() -> Caller:
    """Return the caller if the header is absent, empty, of another scheme, or a list."""
    try:
        verify_jwt_in_request()
    except NoAuthorizationError as error:
        raise AuthenticationRequired from error
    except JWTExtendedException as error:
        raise InvalidToken from error
    caller = caller_of(get_jwt())
    check_end(caller)
    return caller
