"""How requests are parsed: ids in paths, JSON bodies, queries and headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import orjson
from flask import Flask, Request, request
from flask_smorest import Blueprint as SmorestBlueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
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


class Parser(FlaskParser):
    """webargs' parser with our errors. It needs an application context, but no request of Flask."""

    DEFAULT_VALIDATION_STATUS = 400  # only for the OpenAPI description: handle_error answers

    def get_default_request(self) -> Request:
        """Return the request that is answered now."""
        return Request(current_environ.get())

    def load_headers(self, req: Request, schema: Schema) -> Any:
        """Return the headers that the schema has."""
        names = {field.data_key or name for name, field in schema.fields.items()}
        keys = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in names}
        return {name: req.environ[key] for name, key in keys.items() if key in req.environ}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the body.

        Raises UnsupportedMediaType if its content type is not JSON or it is compressed,
        RequestEntityTooLarge, RequestTimeout, or InvalidInput if it is not valid JSON.
        """
        if not req.is_json or req.environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise UnsupportedMediaType
        try:
            body = req.get_data()
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

    def handle_error(
        self,
        error: ValidationError,
        req: Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Any,
    ) -> NoReturn:
        """Raise InvalidInput with the faults by field."""
        [faults] = error.normalized_messages().values()  # by location, of which there is one
        raise InvalidInput(faults, **_sentence(schema, faults)) from error


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
    """flask-smorest's blueprint with our parser, and for views that return an Answer."""

    ARGUMENTS_PARSER = Parser()

    def response(
        self, status_code: int, schema: type[Schema] | None = None, **description: Any
    ) -> Callable[[View], View]:
        """Describe the answer of a view. Nothing is done to it: views build their answers."""
        alt_response = super().alt_response

        def describe(view: View) -> View:
            described: View = alt_response(
                status_code, schema=schema, success=True, headers=headers_of(view), **description
            )(view)
            return described

        return describe


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
