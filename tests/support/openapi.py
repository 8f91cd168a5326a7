"""The OpenAPI description, and the way about it."""

from collections.abc import Iterator
from typing import Any

from tests.support.service import Service

Spec = dict[str, Any]


def description(service: Service) -> Spec:
    """The description as the service gives it."""
    answer = service.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    spec: Spec = answer.json()
    return spec


def resolved(spec: Spec, node: dict[str, Any]) -> dict[str, Any]:
    """The node itself, or what it refers to."""
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        spec = spec[name]
    return spec


def operations(spec: Spec) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each call: method, path, and its description."""
    for path, item in spec["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method, path, item[method]
