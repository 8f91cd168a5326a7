"""The OpenAPI description, made from the routes and schemas, and a page to read and try it."""

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
from ticket_service.http.fields import ID_DESCRIPTION
from ticket_service.http.parsing import IdConverter

DESCRIPTION = """
Events, ticket types, seats, reservations, and the waiting room in front of them. Buying needs a
place inside the waiting room: who has none is let in on the spot if there is room and no line, else
403 `QUEUE_REQUIRED`. Changes are told over Socket.IO (docs/contract.md, "Socket.IO").

Every refusal has the shape of the schema `Error`: `code` is for programs, `error` is a sentence for
people, in Korean or, where `Accept-Language` prefers it, in English. 400 invalid input, 401 log in,
403 not allowed, 404 unknown, 409 conflict, 413 body too large, 415 not JSON, 503 try again after
`Retry-After` seconds.

Ids may have upper-case letters. A whole number is written in digits alone: `1`, neither `1.0` nor
`"1"`. Space around a text is taken off before it is looked at. A field that a body does not have
here is refused, a query parameter that is not here is ignored.
"""


BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The security requirement of a route that wants a token."""

SERVICE: list[dict[str, list[str]]] = [{"service": []}]
"""The security requirement of a route that wants the service token."""


class Error(Schema):
    """Every refusal has this shape."""

    success = fields.Boolean(metadata={"example": False})
    error = fields.String(metadata={"description": "A sentence for the buyer."})
    message = fields.String(metadata={"description": "The same sentence."})
    code = fields.String(metadata={"example": "SEAT_ALREADY_RESERVED"})
    requestId = fields.String()  # noqa: N815 # as on the wire
    details = fields.Dict(metadata={"description": "Optional; differs by code."})


class TicketApi(Api):
    """flask-smorest's API with our own error handling (http/errors.py)."""

    ERROR_SCHEMA = Error

    def _register_error_handlers(self) -> None:
        pass


class Converter(OpenAPIConverter):
    """apispec's, for what schemas say about themselves as a whole: `Meta.openapi`."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """The schema in OpenAPI."""
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return described | getattr(schema.Meta, "openapi", {})


class Plugin(MarshmallowPlugin):
    """apispec's, with our converter."""

    Converter = Converter


def init_openapi(app: Flask, settings: Settings) -> Api:
    """Serve /api/v1/openapi.json and /api/v1/docs, whose files come from a package."""
    page: dict[str, Any] = {"validatorUrl": None, "tryItOutEnabled": True}
    if settings.admin_port:
        page["supportedSubmitMethods"] = []  # the API has another port than the page
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
    api.register_converter(IdConverter, _describe_id)
    api.ma_plugin.converter.add_attribute_function(_limits_of(settings))
    app.add_url_rule("/api/v1/docs/<path:name>", "docs_asset", _docs_asset)
    return api


def _describe_id(converter: IdConverter) -> dict[str, Any]:
    return {"type": "string", **ID_DESCRIPTION}


def _limits_of(settings: Settings) -> Callable[..., dict[str, Any]]:
    """Describes the limits of this instance: a field's metadata has, as `settings`, the name of
    the setting by keyword of OpenAPI."""

    def limits(_converter: Converter, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        names: Mapping[str, str] = field.metadata.get("settings", {})
        return {keyword: getattr(settings, name) for keyword, name in names.items()}

    return limits


def _docs_asset(name: str) -> Response:
    return send_from_directory(str(swagger_ui_path), name)
