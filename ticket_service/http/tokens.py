"""The Auth Service's tokens: whether one is good, and whose it is. Knows no Flask."""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

import jwt
from cachetools import LRUCache

from ticket_service.errors import InvalidToken, TokenExpired
from ticket_service.http.fields import UUID_PATTERN

ROLES = ("user", "admin")

CLOCK_SKEW_SECONDS = 10
"""By which the Auth Service's clock may be ahead of ours when it stamps `iat` and `nbf`."""

MAX_KEPT = 20_000
"""Checked tokens kept: a browser sends the same one with every request."""


class Caller(NamedTuple):
    """Who a valid token belongs to, and until when."""

    user_id: str
    """A UUID in lower case."""
    role: str
    """One of ROLES."""
    expires_at: float
    """Seconds since the epoch."""


class TokenVerifier:
    """Checks tokens, and remembers those that were good."""

    def __init__(self, key: str, algorithm: str) -> None:
        """`key`: the shared secret for HS256, the public key as PEM for RS256. No other algorithm
        is accepted, whatever a token names."""
        self._key = key
        self._algorithms = [algorithm]
        self._kept: LRUCache[bytes, Caller] = LRUCache(MAX_KEPT)

    def verify(self, token: str) -> Caller:
        """Who a token belongs to. Raises TokenExpired or InvalidToken."""
        # A token may have 8 kB, so what is kept is its hash.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        caller = self._kept.get(digest)
        if caller is None:
            caller = self._kept[digest] = caller_of(self.decode(token))
        check_end(caller)
        return caller

    def decode(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature and times are good, in one pass; for its end with
        CLOCK_SKEW_SECONDS of grace, see `check_end`. Raises TokenExpired or InvalidToken."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                leeway=CLOCK_SKEW_SECONDS,
                options={"verify_aud": False},  # the Auth Service names no audience
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired from error
        except (jwt.PyJWTError, ValueError) as error:
            raise InvalidToken from error
        return claims


def caller_of(claims: dict[str, Any]) -> Caller:
    """Whose claims these are. Raises InvalidToken where one is missing or of another kind, and for
    a refresh token, which is for the Auth Service only."""
    user_id, role, expires_at = (claims.get(name) for name in ("userId", "role", "exp"))
    if not isinstance(user_id, str) or not UUID_PATTERN.fullmatch(user_id):
        raise InvalidToken
    if claims.get("type") == "refresh":
        raise InvalidToken
    if role not in ROLES or not isinstance(expires_at, int | float):
        raise InvalidToken
    return Caller(user_id.lower(), role, expires_at)


def check_end(caller: Caller) -> None:
    """Raises TokenExpired from the second in which the token ends: for that there is no grace."""
    if caller.expires_at <= time.time():
        raise TokenExpired
