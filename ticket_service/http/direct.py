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

_ID_IN_PATH = re.compile(rf"(?<=/){UUID_PATTERN.pattern}(?=/|$)")


class _Route(NamedTuple):
    rule: str
    id_name: str | None
    """The parameter for the id in the path, if there is one."""
    view: Callable[..., Any]


class DirectLane:
    """The routes of signed-in people."""

    def __init__(self, app: Flask) -> None:
        """Look at the routes of the application, all of which must be registered."""
        self._app_context = app.app_context
        self._routes: dict[tuple[str, str], _Route] = {}
        for rule in app.url_map.iter_rules():
            view = app.view_functions[rule.endpoint]
            if vars(view).get("access") is not Access.SIGNED_IN:
                continue
            names = _ID_IN_RULE.findall(rule.rule)
            path = _ID_IN_RULE.sub("<id>", rule.rule)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                self._routes[method, path] = _Route(rule.rule, names[0] if names else None, view)

    def answer(self, environ: Environ) -> Answer | None:
        """Return the answer to a request, or None if Flask must give it."""
        path: str = environ["PATH_INFO"]
        found = _ID_IN_PATH.search(path)
        if found:
            path = f"{path[: found.start()]}<id>{path[found.end() :]}"
        route = self._routes.get((environ["REQUEST_METHOD"], path))
        if route is None or bearer_token(environ) is None:
            return None
        environ[ROUTE] = route.rule
        ids = {route.id_name: found[0].lower()} if route.id_name and found else {}
        try:
            with self._app_context():
                answer: Answer = route.view(**ids)
                return answer
        except Exception as error:
            return answer_to(error, environ)
