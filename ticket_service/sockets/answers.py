"""The context of the message being handled, and the acknowledgements of failed messages."""

from __future__ import annotations

from typing import Any

from flask import request

from ticket_service.errors import ServiceError
from ticket_service.http.responses import Environ
from ticket_service.messages import Language, preferred_language, sentence


def current_sid() -> str:
    """The id of the socket whose message is being handled."""
    sid: str = request.sid  # type: ignore[attr-defined] # Flask-SocketIO sets it
    return sid


def handshake() -> Environ:
    """The environment of the request that opened the connection."""
    environ: Environ = request.environ
    return environ


def current_language() -> Language:
    """The language that the browser asked for when it connected."""
    return preferred_language(request.headers.get("Accept-Language", ""))


def refusal(error: ServiceError) -> dict[str, Any]:
    """The acknowledgement of a refused message (docs/contract.md)."""
    text = sentence(error.message or error.code, current_language(), **error.values)
    problem = {"success": False, "error": text, "message": text, "code": error.code}
    return problem | ({"details": error.details} if error.details else {})


def failure() -> dict[str, Any]:
    """The acknowledgement of a message whose handler failed."""
    text = sentence("INTERNAL_ERROR", current_language())
    return {"success": False, "error": text, "message": text, "code": "INTERNAL_ERROR"}
