"""How requests are parsed: ids in paths, JSON bodies, queries and headers."""

from __future__ import annotations

from typing import Any, NoReturn

import orjson
from flask import Flask, Request, request
from flask_smorest import Blueprint as SmorestBlueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import (
    ClientDisconnected,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Request as BaseRequest

from ticket_service.errors import InvalidInput
from ticket_service.http.fields import UUID_PATTERN
from ticket_service.http.responses import ROUTE

MAX_BODY_BYTES = 64 * 1024
"""Bytes; the largest sensible request, a hundred ticket lines, is a tenth of it."""


class Parser(FlaskParser):
    """webargs' parser with our refusals."""

    DEFAULT_VALIDATION_STATUS = 400  # for the description; handle_error answers

    def load_json(self, req: BaseRequest, schema: Schema) -> Any:
        """The body.

        Raises UnsupportedMediaType unless it says it is JSON, RequestEntityTooLarge,
        RequestTimeout, or InvalidInput unless it is JSON.
        """
        if not req.is_json:
            raise UnsupportedMediaType
        try:
            body = req.get_data()
            if len(body) >= MAX_BODY_BYTES:  # of unknown length: werkzeug cuts it off there
                raise RequestEntityTooLarge
            return orjson.loads(body)
        except ParseException as error:
            raise InvalidInput({"body": ["Broken chunks."]}) from error
        except ClientDisconnected as error:
            if isinstance(error.__context__, TimeoutError):  # to werkzeug all the same
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
        [faults] = error.normalized_messages().values()  # one place at a time
        raise InvalidInput(faults) from error


class Blueprint(SmorestBlueprint):
    """A flask-smorest blueprint that parses with Parser."""

    ARGUMENTS_PARSER = Parser()


class IdConverter(BaseConverter):
    """A UUID in a path. It lets a malformed one through, for `_look_at_route` to answer 400:
    what a converter refuses is a 404."""

    def to_python(self, value: str) -> str:
        """The id in lower case."""
        return value.lower()


def init_requests(app: Flask) -> None:
    """Register the converter, the limits and the check of the ids in the path."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.converters["id"] = IdConverter
    app.url_map.merge_slashes = False  # a redirect would be HTML
    app.before_request(_look_at_route)


def _look_at_route() -> None:
    if request.url_rule is None:
        return
    request.environ[ROUTE] = request.url_rule.rule
    for name, value in (request.view_args or {}).items():
        if name.endswith("_id") and not UUID_PATTERN.fullmatch(value):
            raise InvalidInput({name: ["Not a valid UUID."]})
