"""Whether a view answers everybody alike, or looks at who is calling. No view may do both.

What a `public_document` answers is kept, and sent to anybody who asks for the same URL
(http/edge.py). A guard of http/auth.py in front of it, or behind it, would be asked only once. So a
view that has both cannot be made: the module that defines it fails to import, and the service to
start.
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
    """Who a view answers."""

    PUBLIC = "everybody alike"
    GUARDED = "by who is calling"


class ContradictoryAccess(TypeError):
    """A view is declared both public and guarded."""


def public_document(view: Callable[..., Read]) -> Callable[..., Response]:
    """Answer with the document that the view returns a function for.

    Must be the decorator next to the view, so that all others are told of it. The edge may call the
    function again for the same URL, without an application context. Raises ContradictoryAccess.
    """

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Response:
        read = view(*args, **kwargs)
        answer = document_answer(read(), request.environ)
        request.environ[READ] = read
        return respond(answer)

    return declare(answered, Access.PUBLIC)


def declare(view: View, access: Access) -> View:
    """Note on a view who it answers; `functools.wraps` hands the note on to what is around it.

    Raises ContradictoryAccess where the note says otherwise already.
    """
    notes = vars(view)
    if notes.setdefault("access", access) is not access:
        raise ContradictoryAccess(
            f"{view.__module__}.{view.__qualname__} is both a public document and guarded:"
            " its answer would be kept and sent to everybody"
        )
    return view
