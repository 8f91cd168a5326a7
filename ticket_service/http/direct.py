"""The direct lane: the calls of signed-in people do not wait for Flask.

Flask takes longer to set up its request, find the route and build a response than the waiting room
takes to answer. So the edge finds the view itself, and calls the very function that Flask would
call, with all its decorators: those take what they need from the WSGI environment. Which calls
these are follows from the routes: all that are `signed_in`. What is unusual about a request is left
to Flask, which knows what to say: another method, a malformed id, an odd header.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask

from ticket_service.http.access import Access
from ticket_service.http.auth import bearer_token
from ticket_service.http.errors import answer_to
from ticket_service.http.fields import UUID_PATTERN
from ticket_service.http.responses import ROUTE, Answer, Environ

_ID_IN_RULE = re.compile(r"<id:(\w+)>")


class _Route(NamedTuple):
    rule: str
    id_names: list[str]
    """The parameter for the id in the path, if there is one."""
    view: Callable[..., Any]


class DirectLane:
    """The routes of signed-in people."""

    def __init__(self, app: Flask) -> None:
        """Look at the routes of the application, all of which must be registered."""
        self._app_context = app.app_context
        # By method and the parts of the path: all of it, or what is before and after the id.
        self._routes: dict[tuple[str, ...], _Route] = {}
        for rule in app.url_map.iter_rules():
            view = app.view_functions[rule.endpoint]
            if vars(view).get("access") is not Access.SIGNED_IN:
                continue
            before, *rest = _ID_IN_RULE.split(rule.rule)
            names, after = rest[::2], rest[1::2]
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                self._routes[method, before, *after] = _Route(rule.rule, names, view)

    def answer(self, environ: Environ) -> Answer | None:
        """Return the answer to a request, or None if Flask must give it."""
        path: str = environ["PATH_INFO"]
        found = UUID_PATTERN.search(path)
        parts = (path[: found.start()], path[found.end() :]) if found else (path,)
        route = self._routes.get((environ["REQUEST_METHOD"], *parts))
        if route is None or bearer_token(environ) is None:
            return None
        environ[ROUTE] = route.rule
        ids = {name: found[0].lower() for name in route.id_names} if found else {}
        try:
            with self._app_context():
                answer: Answer = route.view(**ids)
                return answer
        except Exception as error:
            return answer_to(error, environ)
