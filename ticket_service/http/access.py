"""Declares that a view is public or guarded. No view may be both.

The answer of a `public_document` is cached, and sent to anybody who asks for the same URL
(http/edge.py). A guard of http/auth.py around it, or inside it, would run only once. So a view that
has both raises ContradictoryAccess when its module is imported, and the service does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

from flask import Response, request

from ticket_service.http.responses import READ, Read, document_answer, respond

View = TypeVar("View", bound=Callable[..., Any])


class Access(Enum):
    """Whom a view answers."""

    PUBLIC = "everybody alike"
    GUARDED = "by who is calling"


class ContradictoryAccess(TypeError):
    """A view is declared both public and guarded."""


def public_document(view: Callable[..., Read]) -> Callable[..., Response]:
    """Answer with a document, for which the view returns the function that reads it.

    This must be the decorator next to the view, so that all others see its declaration. The edge
    may call the function again for the same URL, without an application context. Raises
    ContradictoryAccess.
    """

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Response:
        read = view(*args, **kwargs)
        answer = document_answer(read(), request.environ)
        request.environ[READ] = read
        return respond(answer)

    return declare(answered, Access.PUBLIC)


def declare(view: View, access: Access) -> View:
    """Store the access as an attribute of a view. `functools.wraps` copies it to its wrappers.

    Raises ContradictoryAccess if the view has another access already.
    """
    attributes = vars(view)
    if attributes.setdefault("access", access) is not access:
        raise ContradictoryAccess(
            f"{view.__module__}.{view.__qualname__} is both a public document and guarded:"
            " its answer would be kept and sent to everybody"
        )
    return view
