"""How requests are parsed: ids in paths, JSON bodies, queries and headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

import orjson
from flask import Flask, Request, request
from flask_smorest import Blueprint as SmorestBlueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import (
    ClientDisconnected,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from werkzeug.routing import BaseConverter

from ticket_service.errors import InvalidInput
from ticket_service.http.described import headers_of
from ticket_service.http.fields import UUID_PATTERN
from ticket_service.http.responses import ROUTE, current_environ
from ticket_service.stores import deadline

View = TypeVar("View", bound=Callable[..., Any])

MAX_BODY_BYTES = 64 * 1024
"""The largest sensible request, a hundred ticket lines, has a tenth of it."""


def _body() -> Any:
    """Return the JSON body of the request.

    Raises UnsupportedMediaType if its content type is not JSON or it is compressed,
    RequestEntityTooLarge, RequestTimeout, or InvalidInput if it is not valid JSON.
    """
    received = Request(current_environ.get())
    encoding = received.environ.get("HTTP_CONTENT_ENCODING", "identity")
    if not received.is_json or encoding != "identity":
        raise UnsupportedMediaType
    try:
        body = received.get_data()
        deadline.start()  # again: the wait for a slow client does not count
        if len(body) >= MAX_BODY_BYTES:  # werkzeug cuts off a body of unknown length
            raise RequestEntityTooLarge
        return orjson.loads(body)
    except ParseException as error:
        raise InvalidInput({"body": ["Broken chunks."]}) from error
    except ClientDisconnected as error:
        if isinstance(error.__context__, TimeoutError):  # werkzeug does not tell them apart
            raise RequestTimeout from error
        raise
    except orjson.JSONDecodeError as error:
        raise InvalidInput({"body": ["Not valid JSON."]}) from error


def _headers_of(schema: Schema) -> Callable[[], dict[str, str]]:
    """Return a function that returns the headers which the schema has."""
    names = {field.data_key or name for name, field in schema.fields.items()}
    keys = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in names}

    def headers() -> dict[str, str]:
        environ = current_environ.get()
        return {name: environ[key] for name, key in keys.items() if key in environ}

    return headers


def _query() -> dict[str, str]:
    """Return the parameters in the query string. Of one that is repeated, the first counts."""
    return Request(current_environ.get()).args.to_dict()


def _sentence(schema: Schema, faults: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the sentence that the first faulty field has in its metadata, as InvalidInput takes
    it."""
    name, faults_of_field = next(iter(faults.items()))
    field = schema.fields.get(name)
    if field is None:
        return {}
    inner = getattr(field, "inner", None)  # of a list, whose faults are by position
    if isinstance(inner, fields.Nested) and isinstance(faults_of_field, Mapping):
        first = next(iter(faults_of_field.values()))
        return _sentence(inner.schema, first) if isinstance(first, Mapping) else {}
    return dict(field.metadata.get("sentence", {}))


class Blueprint(SmorestBlueprint):
    """flask-smorest's blueprint for views that need no request of Flask and return an Answer."""

    def arguments(self, schema: Schema, *, location: str = "json") -> Callable[[View], View]:
        """Give a view what the request has in this place: the JSON body, the headers, the query.

        The view raises InvalidInput with the faults by field, and what `_body` raises.
        """
        describe = super().arguments(schema, location=location, error_status_code=400)
        places = {"json": _body, "headers": _headers_of(schema), "query": _query}
        take = places[location]

        def decorator(view: View) -> View:
            @wraps(describe(view))  # for its description
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                try:
                    argument = schema.load(take())
                except ValidationError as error:
                    faults = error.normalized_messages()
                    raise InvalidInput(faults, **_sentence(schema, faults)) from error
                return view(*args, argument, **kwargs)

            return cast("View", wrapper)

        return decorator

    def response(
        self, status_code: int, schema: type[Schema] | None = None, **description: Any
    ) -> Callable[[View], View]:
        """Describe the answer of a view. Nothing is done to it: views build their answers."""
        alt_response = super().alt_response

        def describe(view: View) -> View:
            description.setdefault("headers", headers_of(view))
            return _noted(
                view, alt_response(status_code, schema=schema, success=True, **description)
            )

        return describe

    def doc(self, **description: Any) -> Callable[[View], View]:
        """Describe a view further, in the terms of OpenAPI."""
        describe = super().doc(**description)
        return lambda view: _noted(view, describe)


def _noted(view: View, describe: Callable[[View], View]) -> View:
    """Note a description on the view itself: flask-smorest's wrapper around it would do nothing in
    each request."""
    vars(view)["_apidoc"] = vars(describe(view))["_apidoc"]
    return view


class IdConverter(BaseConverter):
    """A UUID in a path. It accepts any text, since what a converter refuses is answered with 404.
    `_check_route` answers a malformed id with 400."""

    def to_python(self, value: str) -> str:
        """Return the id in lower case."""
        return value.lower()


def init_requests(app: Flask) -> None:
    """Register the converter of ids, the size limit and the check of ids in paths."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.converters["id"] = IdConverter
    app.url_map.merge_slashes = False  # a redirect would be HTML
    app.before_request(_check_route)


def _check_route() -> None:
    """Note the route for the log. Raises InvalidInput if an id in the path is malformed."""
    if request.url_rule is None:
        return
    request.environ[ROUTE] = request.url_rule.rule
    for name, value in (request.view_args or {}).items():
        if name.endswith("_id") and not UUID_PATTERN.fullmatch(value):
            raise InvalidInput({name: ["Not a valid UUID."]}, "BAD_ADDRESS")
