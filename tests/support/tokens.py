"""Tokens, also invalid ones that no Auth Service makes."""

import base64
import hmac
import json
import time
from typing import Any

from tests.support.service import JWT_SECRET

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"


def claims(**others: Any) -> dict[str, Any]:
    """Return the claims of a valid token, with `others` added or in their place."""
    now = int(time.time())
    return {
        "userId": UUID,
        "email": "a@b.c",
        "role": "user",
        "iat": now,
        "exp": now + 3600,
        **others,
    }


def signed(
    payload: object,
    key: str = JWT_SECRET,
    header: dict[str, Any] | None = None,
    hash: str = "sha256",
) -> str:
    """Sign any payload and header with HMAC, also those that PyJWT would refuse to sign."""
    parts = [{"typ": "JWT", "alg": "HS256"} if header is None else header, payload]
    text = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(key.encode(), text, hash)
    return (text + b"." + encoded(signature)).decode()


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
