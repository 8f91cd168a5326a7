"""What the OpenAPI description says about answers: their statuses and their headers.

There is no default answer in it. So a client can rely on what is there, and a test can find a
status that is not.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from marshmallow import Schema

from ticket_service.http.access import Access
from ticket_service.messages import sentence

BODY = (400, 408, 413, 415)
"""The errors of a call that has a body, on account of it."""

_REQUEST_ID = {
    "X-Request-ID": {
        "required": True,
        "description": "The same as in the request, if that had a valid one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    }
}

_RETRY_AFTER = {
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

_ETAG = {
    "ETag": {
        "required": True,
        "description": "For `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^W/"[^"]+"$'},
    }
}

UNAVAILABLE_HEADERS = _REQUEST_ID | _RETRY_AFTER
"""The headers of every 503, and of every 429."""

_HEADERS = {304: _REQUEST_ID | _ETAG, 429: UNAVAILABLE_HEADERS, 503: UNAVAILABLE_HEADERS}
"""By status, where there are more than the request id."""


def _example(code: str, details: dict[str, Any]) -> dict[str, Any]:
    text = sentence(code, "en", seconds=details["retryAfter"])
    error = {"success": False, "error": text, "message": text, "code": code}
    return {
        "example": error | {"requestId": "7e69b96637da1260525cce119fa0c287", "details": details}
    }


_EXAMPLES = {429: _example("RATE_LIMITED", {"retryAfter": 12})}


def answers(*statuses: int) -> dict[str, str]:
    """Return the answers of a call beside its success, for `doc(responses=...)`.

    500 and 503, which any call may give, are added. All others must be named, also those of its
    token and its body. Errors of HTTP itself, 405, 414, 426 and 431, are not described.
    """
    return {str(status): HTTPStatus(status).name for status in (*statuses, 500, 503)}


def headers_of(view: Callable[..., Any]) -> dict[str, Any]:
    """Return the headers of a view's successful answers."""
    is_document = vars(view).get("access") is Access.PUBLIC
    return _REQUEST_ID | (_ETAG if is_document else {})


def describe_errors(spec: APISpec, shape: type[Schema]) -> None:
    """Describe the answers that `answers` names. Errors have this shape."""
    for status in HTTPStatus:
        if status.value == 304 or status.value >= 400:
            content = {"application/json": {"schema": shape} | _EXAMPLES.get(status.value, {})}
            described = {
                "description": status.phrase,
                "headers": _HEADERS.get(status.value, _REQUEST_ID),
                **({"content": content} if status.value >= 400 else {}),
            }
            spec.components.response(status.name, described, lazy=True)
