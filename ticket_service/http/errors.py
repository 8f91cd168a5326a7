"""Answers every error in the same JSON shape, in Flask and in front of it."""

from __future__ import annotations

import logging

from flask import Flask
from werkzeug.exceptions import HTTPException

from ticket_service.errors import ServiceError
from ticket_service.http.responses import Answer, Environ, current_environ, error_answer, error_body
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
    """Register the handler of every error."""
    app.register_error_handler(Exception, lambda error: answer_to(error, current_environ.get()))


def answer_to(error: Exception, environ: Environ) -> Answer:
    """Return the answer to an error. One that nobody expects is logged."""
    if isinstance(error, ServiceError):
        return error_answer(error, environ)
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return _http_error(error, error.code, environ)
    log.error("unhandled", exc_info=error, extra={"path": environ["PATH_INFO"]})
    return _localized(500, "INTERNAL_ERROR", "INTERNAL_ERROR", environ)


def _http_error(error: HTTPException, status: int, environ: Environ) -> Answer:
    code, message = _HTTP.get(status, ("VALIDATION_ERROR", "VALIDATION_ERROR"))
    headers = [(name, value) for name, value in error.get_headers(environ) if name == "Allow"]
    return _localized(status, code, message, environ, headers)


def _localized(
    status: int,
    code: str,
    message: str,
    environ: Environ,
    headers: list[tuple[str, str]] | None = None,
) -> Answer:
    language = preferred_language(environ.get("HTTP_ACCEPT_LANGUAGE", ""))
    return error_body(status, code, sentence(message, language), environ, headers=headers)
