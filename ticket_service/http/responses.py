"""What belongs to one request: names in the WSGI environment, and answers as plain status, headers
and bytes. Code in front of Flask and in Flask uses the same ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from werkzeug.http import parse_accept_header

from ticket_service.errors import ServiceError
from ticket_service.messages import MAX_ACCEPT_LENGTH, preferred_language, sentence
from ticket_service.stores.documents import Document, compress

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

REQUEST_ID = "ticket_service.request_id"
ROUTE = "ticket_service.route"
USER_ID = "ticket_service.user_id"
READ = "ticket_service.read"
"""Set by a public document (http/access.py): the function that reads it again."""

current_environ: ContextVar[Environ] = ContextVar("environ")
"""The WSGI environment of the request that is answered now. Whatever reads a request takes it from
here, so that it also works where Flask has no request (http/direct.py)."""

Read = Callable[[], Document]

SECURITY_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),  # does not concern requests with CORS
]
"""On every answer, since it is JSON: a browser must not show, run or embed it. There is no
Strict-Transport-Security: that is for the gateway, which terminates TLS."""


def cors_headers(origin: str) -> list[tuple[str, str]]:
    """What lets a page of this origin read an answer."""
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-ID"),
    ]


STATUS_OF_CODE = {
    "VALIDATION_ERROR": 400,
    "AUTHENTICATION_REQUIRED": 401,
    "INVALID_TOKEN": 401,
    "TOKEN_EXPIRED": 401,
    "USER_NOT_FOUND": 401,
    "FORBIDDEN": 403,
    "QUEUE_REQUIRED": 403,
    "EVENT_NOT_FOUND": 404,
    "SEAT_NOT_FOUND": 404,
    "TICKET_TYPE_NOT_FOUND": 404,
    "RESERVATION_NOT_FOUND": 404,
    "SEAT_SELECTION_UNAVAILABLE": 404,
    "SALE_NOT_OPEN": 409,
    "SEAT_LOCKED": 409,
    "SEAT_ALREADY_RESERVED": 409,
    "TICKETS_SOLD_OUT": 409,
    "LIMIT_EXCEEDED": 409,
    "IDEMPOTENCY_KEY_REUSED": 409,
    "PAYMENT_REUSED": 409,
    "RESERVATION_EXPIRED": 409,
    "ALREADY_CANCELLED": 409,
    "CANCELLATION_CLOSED": 409,
    "RATE_LIMITED": 429,
    "QUEUE_UNAVAILABLE": 503,
    "SERVICE_UNAVAILABLE": 503,
}
"""By an error's `message`, if it has one that is listed here, otherwise by its `code`."""


_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. It is also a WSGI application, so a Flask view may return it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Send it, as WSGI defines it."""
        start_response(_STATUS_LINES[self.status], self.headers)
        return [self.body]


def json_answer(
    body: bytes, status: int = 200, headers: list[tuple[str, str]] | None = None
) -> Answer:
    """Return JSON that nobody may cache."""
    return Answer(
        status,
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *(headers or []),
        ],
        body,
    )


def private_answer(body: bytes, environ: Environ) -> Answer:
    """Return JSON that nobody may cache, compressed if it is long and the client accepts gzip."""
    if _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")) and (packed := compress(body)):
        return json_answer(packed, headers=[("Content-Encoding", "gzip")])
    return json_answer(body)


def document_answer(document: Document, environ: Environ) -> Answer:
    """Return a cached document as this client asks for it: 304, compressed or plain."""
    headers = [("ETag", document.etag), ("Cache-Control", "no-cache")]
    if _matches(environ.get("HTTP_IF_NONE_MATCH"), document.etag):
        return Answer(304, headers, b"")
    body = document.body
    if _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")) and document.compressed:
        body = document.compressed
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Type", "application/json"))
    headers.append(("Content-Length", str(len(body))))
    return Answer(200, headers, body)


def error_answer(error: ServiceError, environ: Environ) -> Answer:
    """Return an error in its JSON shape (docs/contract.md, "Errors")."""
    message = error.message or error.code
    status = STATUS_OF_CODE.get(message) or STATUS_OF_CODE[error.code]
    language = preferred_language(environ.get("HTTP_ACCEPT_LANGUAGE", ""))
    headers = [("Retry-After", str(error.retry_after))] if error.retry_after else []
    return error_body(
        status,
        error.code,
        sentence(message, language, **error.values),
        environ,
        details=error.details,
        headers=headers,
    )


def new_request_id() -> str:
    """Make a request id, for a request that has no valid one."""
    return f"{random.getrandbits(128):032x}"  # it is no secret


def error_body(
    status: int,
    code: str,
    text: str,
    environ: Environ,
    *,
    details: dict[str, Any] | None = None,
    headers: list[tuple[str, str]] | None = None,
) -> Answer:
    """Return an error whose sentence is `text`."""
    payload: dict[str, Any] = {
        "success": False,
        "error": text,
        "message": text,
        "code": code,
        "requestId": environ[REQUEST_ID],
    }
    if details:
        payload["details"] = details
    # Keys may be numbers: marshmallow numbers the faulty elements of a list.
    return json_answer(orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS), status, headers)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """Compare weakly, as RFC 9110, section 13.1.2, says."""
    if if_none_match is None:
        return False
    if if_none_match in (etag, "*"):
        return True
    ours = etag.removeprefix("W/")
    return any(theirs.strip().removeprefix("W/") == ours for theirs in if_none_match.split(","))


def _accepts_gzip(accept_encoding: str) -> bool:
    return _ranks_gzip(accept_encoding[:MAX_ACCEPT_LENGTH])


@lru_cache(maxsize=1_000)
def _ranks_gzip(accept_encoding: str) -> bool:
    accepted = parse_accept_header(accept_encoding)
    return accepted["gzip"] > 0


def private(body: bytes) -> Answer:
    """Respond with JSON bytes that are for this person only."""
    return private_answer(body, current_environ.get())


def answer(payload: dict[str, Any]) -> Answer:
    """Respond with a short payload that is for this person only."""
    return json_answer(orjson.dumps(payload))


def say(message: str) -> Answer:
    """Respond with a sentence that says what was done."""
    return answer({"message": _sentence(message)})


def succeeded(message: str) -> Answer:
    """That something was done, as the administration service reads it."""
    return answer({"success": True, "message": _sentence(message)})


def done(message: str, reservation: dict[str, Any], status: int = 200) -> Answer:
    """Respond with a sentence that says what was done, and with the reservation."""
    payload = {"message": _sentence(message), "reservation": reservation}
    return json_answer(orjson.dumps(payload), status)


def _sentence(message: str) -> str:
    accepted = current_environ.get().get("HTTP_ACCEPT_LANGUAGE", "")
    return sentence(message, preferred_language(accepted))
