"""Checks the tokens of the Auth Service. Sockets use this too, so it does not depend on Flask."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any, NamedTuple

import jwt
from cachetools import LRUCache
from jwt.algorithms import HMACAlgorithm

from ticket_service.errors import InvalidToken, TokenExpired
from ticket_service.http.fields import UUID_PATTERN

ROLES = ("user", "admin")

CLOCK_SKEW_SECONDS = 10
"""How far the Auth Service's clock, which sets `iat` and `nbf`, may be ahead of ours."""

MAX_KEPT = 20_000
"""Valid tokens that are cached: a browser sends the same one with every request."""


class Caller(NamedTuple):
    """The owner of a valid token, and until when it is valid."""

    user_id: str
    """A UUID in lower case."""
    role: str
    """One of ROLES."""
    expires_at: float
    """Seconds since the epoch."""


class _CheckedSecret(HMACAlgorithm):
    """HMAC with a secret that was checked before. PyJWT looks again with each token whether it is a
    certificate or a public key, which takes a quarter of the time."""

    def prepare_key(self, key: str | bytes) -> bytes:
        """Return the key, which is the result of a check."""
        return key if isinstance(key, bytes) else key.encode()


def _hs256(secret: str) -> jwt.PyJWK:
    """The shared secret as a key, after PyJWT's own check. Raises jwt.InvalidKeyError."""
    checked = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    word = base64.urlsafe_b64encode(checked).rstrip(b"=").decode()
    key = jwt.PyJWK({"kty": "oct", "k": word}, algorithm="HS256")
    key.Algorithm = _CheckedSecret(HMACAlgorithm.SHA256)
    return key


class TokenVerifier:
    """Checks tokens, and caches the valid ones."""

    def __init__(self, key: str, algorithm: str) -> None:
        """`key`: the shared secret for HS256, or the public key as PEM for RS256. Tokens that name
        another algorithm are refused."""
        self._key = _hs256(key) if algorithm == "HS256" else key
        self._algorithms = [algorithm]
        self._kept: LRUCache[bytes, Caller] = LRUCache(MAX_KEPT)

    def verify(self, token: str) -> Caller:
        """Return the owner of a token. Raises TokenExpired or InvalidToken."""
        # A token may have 8 kB, so the key is its hash.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        caller = self._kept.get(digest)
        if caller is None:
            caller = self._kept[digest] = caller_of(self.decode(token))
        check_end(caller)
        return caller

    def decode(self, token: str) -> dict[str, Any]:
        """Return the claims of a token, after a check of its signature and times.

        `exp` too is checked with CLOCK_SKEW_SECONDS of leeway here, and without by `check_end`.
        Raises TokenExpired or InvalidToken.
        """
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
    """Return the owner of these claims. Raises InvalidToken if one is missing or malformed, and for
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
    """Raise TokenExpired from the second of `exp` on, without leeway."""
    if caller.expires_at <= time.time():
        raise TokenExpired
