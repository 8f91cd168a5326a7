"""The OpenAPI description, made from the routes and schemas, and a page to read it and try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask, Response, send_from_directory
from flask_smorest import Api
from marshmallow import Schema, fields
from swagger_ui_bundle import swagger_ui_path

from ticket_service.config import Settings
from ticket_service.http.described import describe_errors
from ticket_service.http.fields import ID_DESCRIPTION
from ticket_service.http.parsing import IdConverter

DESCRIPTION = """
Events, ticket types, seats, reservations, and the waiting room in front of them. To buy, one must
be inside the waiting room. A buyer who is not is let in at once if there is room and no line;
otherwise the answer is 403 `QUEUE_REQUIRED`. Changes are announced over Socket.IO
(docs/contract.md, "Socket.IO").

Every error has the shape of the schema `Error`: `code` is for programs, `error` is a sentence for
people, in Korean or, where `Accept-Language` prefers it, in English. 400 invalid input, 401 log in,
403 not allowed, 404 unknown, 408 too slow, 409 conflict, 413 body too large, 415 not JSON or
compressed, 429 too often, 503 not now; 429 and 503: try again after `Retry-After` seconds. Each
call lists all its answers. Beside these there are errors of HTTP: 404 for another address, 405 for
another method, and 400, 408, 414 or 431 for a request that cannot be read.

Ids may have upper-case letters. A whole number is written in digits alone: `1`, neither `1.0` nor
`"1"`. Leading and trailing spaces of a text are removed before it is checked. An unknown field in a
body is an error; an unknown query parameter is ignored.
"""


BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The security requirement of a route that needs a token."""

SERVICE: list[dict[str, list[str]]] = [{"service": []}]
"""The security requirement of a route that needs the service token."""


class Error(Schema):
    """The shape of every error."""

    success = fields.Boolean(metadata={"example": False})
    error = fields.String(metadata={"description": "A sentence for the buyer."})
    message = fields.String(metadata={"description": "The same sentence."})
    code = fields.String(metadata={"example": "SEAT_ALREADY_RESERVED"})
    requestId = fields.String()  # noqa: N815 # as on the wire
    details = fields.Dict(metadata={"description": "Optional; differs by code."})


class TicketApi(Api):
    """flask-smorest's API with our own error handling (http/errors.py)."""

    ERROR_SCHEMA = Error
    DEFAULT_ERROR_RESPONSE_NAME = None  # each answer is described

    def _register_error_handlers(self) -> None:
        pass


class Converter(OpenAPIConverter):
    """apispec's converter, which also adds what a schema has in `Meta.openapi`."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """Return the schema in OpenAPI."""
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return described | getattr(schema.Meta, "openapi", {})


class Plugin(MarshmallowPlugin):
    """apispec's plugin, with our converter."""

    Converter = Converter


def init_openapi(app: Flask, settings: Settings) -> Api:
    """Serve /api/v1/openapi.json and, with the files of swagger-ui-bundle, /api/v1/docs."""
    page: dict[str, Any] = {"validatorUrl": None, "tryItOutEnabled": True}
    if settings.admin_port:
        page["supportedSubmitMethods"] = []  # the API is on another port than the page
    app.config.update(
        API_TITLE="Ticket Service",
        API_VERSION="v1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/api/v1",
        OPENAPI_JSON_PATH="openapi.json",
        OPENAPI_SWAGGER_UI_PATH="docs",
        OPENAPI_SWAGGER_UI_URL="/api/v1/docs/",
        OPENAPI_SWAGGER_UI_CONFIG=page,
    )
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    service = {"type": "apiKey", "in": "header", "name": "X-Internal-Token"}
    api = TicketApi(
        app,
        spec_kwargs={
            "info": {"description": DESCRIPTION},
            "marshmallow_plugin": Plugin(),
            "components": {"securitySchemes": {"bearer": bearer, "service": service}},
        },
    )
    describe_errors(api.spec, Error)
    api.register_converter(IdConverter, _describe_id)
    api.ma_plugin.converter.add_attribute_function(_limits_of(settings))
    app.add_url_rule("/api/v1/docs/<path:name>", "docs_asset", _docs_asset)
    return api


def _describe_id(converter: IdConverter) -> dict[str, Any]:
    return {"type": "string", **ID_DESCRIPTION}


def _limits_of(settings: Settings) -> Callable[..., dict[str, Any]]:
    """Return a function that describes the limits which depend on this instance's settings.

    The `settings` in a field's metadata map keywords of OpenAPI to names of settings.
    """

    def limits(_converter: Converter, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        names: Mapping[str, str] = field.metadata.get("settings", {})
        return {keyword: getattr(settings, name) for keyword, name in names.items()}

    return limits


def _docs_asset(name: str) -> Response:
    return send_from_directory(str(swagger_ui_path), name)
