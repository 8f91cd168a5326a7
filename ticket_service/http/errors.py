"""Error handlers, which answer every error in the same JSON shape."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ticket_service.errors import ServiceError
from ticket_service.http.responses import error_answer, error_body, respond
from ticket_service.messages import preferred_language, sentence

# The code and the sentence for errors of HTTP. Others below 500 are VALIDATION_ERROR.
_HTTP = {
    404: ("NOT_FOUND", "NOT_FOUND"),
    405: ("VALIDATION_ERROR", "METHOD_NOT_ALLOWED"),
    413: ("VALIDATION_ERROR", "BODY_TOO_LARGE"),
    415: ("VALIDATION_ERROR", "UNSUPPORTED_MEDIA_TYPE"),
}

log = logging.getLogger(__name__)


def init_errors(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)


def _service_error(error: ServiceError) -> Response:
    return respond(error_answer(error, request.environ))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _bug(error)
    code, message = _HTTP.get(status, ("VALIDATION_ERROR", "VALIDATION_ERROR"))
    headers = [
        (name, value) for name, value in error.get_headers(request.environ) if name == "Allow"
    ]
    return _localized(status, code, message, headers)


def _bug(error: Exception) -> Response:
    log.error("unhandled", exc_info=error, extra={"path": request.path})
    return _localized(500, "INTERNAL_ERROR", "INTERNAL_ERROR", [])


def _localized(status: int, code: str, message: str, headers: list[tuple[str, str]]) -> Response:
    language = preferred_language(request.headers.get("Accept-Language", ""))
    text = sentence(message, language)
    return respond(error_body(status, code, text, request.environ, headers=headers))
