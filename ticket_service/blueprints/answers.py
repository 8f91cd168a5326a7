"""How routes reach the services and answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from flask import Response, current_app, request

from ticket_service.exchange import (
    READ,
    Answer,
    document_answer,
    json_answer,
    preferred_language,
    private_answer,
)
from ticket_service.messages import sentence
from ticket_service.services import Services
from ticket_service.stores.documents import Document

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The OpenAPI security requirement of a route that wants a token."""


def services() -> Services:
    """The services of this application."""
    built: Services = current_app.extensions["ticket_service"]
    return built


def respond(answer: Answer) -> Response:
    """An answer as a Flask response."""
    return Response(answer.body, status=answer.status, headers=answer.headers)


def document(read: Callable[..., Document], *arguments: Any) -> Response:
    """The document that `read` returns; the edge may call it again for the same URL, without an
    application context."""
    answer = document_answer(read(*arguments), request.environ)
    request.environ[READ] = partial(read, *arguments)
    return respond(answer)


def private(body: bytes) -> Response:
    """JSON bytes for this person only."""
    return respond(private_answer(body, request.environ))


def answer(payload: dict[str, Any]) -> Response:
    """A short answer for this person only."""
    return respond(json_answer(orjson.dumps(payload)))


def say(message: str) -> Response:
    """What was done, in a sentence."""
    return answer({"message": _sentence(message)})


def done(message: str, reservation: dict[str, Any], status: int = 200) -> Response:
    """What was done, in a sentence, and the reservation it was done to."""
    payload = {"message": _sentence(message), "reservation": reservation}
    return respond(json_answer(orjson.dumps(payload), status))


def _sentence(message: str) -> str:
    return sentence(message, preferred_language(request.headers.get("Accept-Language", "")))
