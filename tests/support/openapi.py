"""Reads the OpenAPI description."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import Service
from tests.support.wire import is_time

Spec = dict[str, Any]

# Fields that an answer may lack.
OPTIONAL = {"details", "isExpired"}

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}

# The calls of other services, which have a token of their own.
INTERNAL_CALLS = [
    ("post", "/api/v1/internal/reservations/{reservation_id}/payment"),
    ("get", "/api/v1/internal/audit"),
    ("post", "/internal/reschedule-event-status"),
]


@pytest.fixture(scope="module")
def openapi_spec(service: Service) -> Spec:
    return description(service)


def description(service: Service) -> Spec:
    """Return the description from the service."""
    answer = service.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    spec: Spec = answer.json()
    return spec


def resolved(spec: Spec, node: dict[str, Any]) -> dict[str, Any]:
    """Return the node itself, or the one that it refers to."""
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        spec = spec[name]
    return spec


def operations(spec: Spec) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each call: method, path and description."""
    for path, item in spec["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method, path, item[method]


def body_schema(spec: Spec, operation: dict[str, Any], status: str) -> dict[str, Any]:
    """Return the schema of the JSON answer of an operation with this status."""
    answer = resolved(spec, operation["responses"][status])
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema


def faults(spec: Spec, schema: dict[str, Any], value: object, at: str = "") -> list[str]:
    """Return where a value differs from its schema, by the parts of OpenAPI that we use."""
    schema = resolved(spec, schema)
    if not schema.keys() - {"description"}:
        return []  # anything
    if value is None:
        return [] if schema.get("nullable") else [f"{at} is null"]
    if not isinstance(value, TYPES[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        return [f"{at} is no {schema['type']}: {value!r}"]
    found = []
    if value not in schema.get("enum", [value]):
        found.append(f"{at} is none of {schema['enum']}: {value!r}")
    if schema.get("format") == "date-time" and not is_time(str(value)):
        found.append(f"{at} is no time: {value!r}")
    if isinstance(value, dict):
        fields = schema["properties"]
        found += [f"{at} has an unknown {name}" for name in value.keys() - fields.keys()]
        found += [f"{at} has no {name}" for name in fields.keys() - value.keys() - OPTIONAL]
        for name in value.keys() & fields.keys() - {"details"}:
            found += faults(spec, fields[name], value[name], f"{at}.{name}")
    if isinstance(value, list):
        for number, element in enumerate(value):
            found += faults(spec, schema["items"], element, f"{at}[{number}]")
    return found
