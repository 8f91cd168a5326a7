"""Declares whom a view answers. Each view has one access.

The answer of a `public_document` is cached, and sent to anybody who asks for the same URL
(http/edge.py). A guard of http/auth.py around it, or inside it, would run only once. So a view that
has both raises ContradictoryAccess when its module is imported, and the service does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

from ticket_service.http.responses import READ, Answer, Read, current_environ, document_answer

View = TypeVar("View", bound=Callable[..., Any])


class Access(Enum):
    """Whom a view answers."""

    PUBLIC = "everybody alike"
    SIGNED_IN = "a person, for themselves"
    ADMIN = "administrators"
    SERVICE = "other services"


class ContradictoryAccess(TypeError):
    """A view is declared for two."""


def public_document(view: Callable[..., Read]) -> Callable[..., Answer]:
    """Answer with a document, for which the view returns the function that reads it.

    This must be the decorator next to the view, so that all others see its declaration. The edge
    may call the function again for the same URL, without an application context. Raises
    ContradictoryAccess.
    """

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Answer:
        read = view(*args, **kwargs)
        environ = current_environ.get()
        answer = document_answer(read(), environ)
        environ[READ] = read
        return answer

    return declare(answered, Access.PUBLIC)


def declare(view: View, access: Access) -> View:
    """Store the access as an attribute of a view. `functools.wraps` copies it to its wrappers.

    Raises ContradictoryAccess if the view has another access already.
    """
    attributes = vars(view)
    other = attributes.setdefault("access", access)
    if other is not access:
        raise ContradictoryAccess(
            f"{view.__module__}.{view.__qualname__} is for {other.value}, and for {access.value}"
        )
    return view
