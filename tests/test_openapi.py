"""The OpenAPI description: complete and valid; and the page that shows it."""

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.support.openapi import (
    INTERNAL_CALLS,
    Spec,
    body_schema,
    openapi_spec,
    operations,
    resolved,
)
from tests.support.service import Service
from tests.support.tokens import UUID

# The calls: method, path, the status that says it went well, private or not.
CALLS = [
    ("get", "/health", 200, False),
    ("get", "/api/v1/events", 200, False),
    ("get", "/api/v1/events/{event_id}", 200, False),
    ("get", "/api/v1/tickets/event/{event_id}", 200, False),
    ("get", "/api/v1/tickets/availability/{ticket_type_id}", 200, False),
    ("get", "/api/v1/seats/layouts", 200, False),
    ("get", "/api/v1/seats/events/{event_id}", 200, False),
    ("post", "/api/v1/seats/reserve", 201, True),
    ("get", "/api/v1/seats/reservation/{reservation_id}", 200, True),
    ("post", "/api/v1/reservations", 201, True),
    ("get", "/api/v1/reservations/my", 200, True),
    ("get", "/api/v1/reservations/{reservation_id}", 200, True),
    ("post", "/api/v1/reservations/{reservation_id}/cancel", 200, True),
    ("post", "/api/v1/queue/check/{event_id}", 200, True),
    ("get", "/api/v1/queue/status/{event_id}", 200, True),
    ("post", "/api/v1/queue/heartbeat/{event_id}", 200, True),
    ("post", "/api/v1/queue/leave/{event_id}", 200, True),
    ("get", "/api/v1/queue/admin/{event_id}", 200, True),
    ("put", "/api/v1/queue/admin/{event_id}", 200, True),
    ("post", "/api/v1/queue/admin/clear/{event_id}", 200, True),
]


spec = openapi_spec


def test_the_description_is_openapi_3(spec: Spec):
    assert spec["openapi"].startswith("3.0.")
    assert spec["info"]["title"]
    assert spec["info"]["version"]
    bearer = spec["components"]["securitySchemes"]["bearer"]
    assert (bearer["type"], bearer["scheme"]) == ("http", "bearer")


def test_every_reference_leads_somewhere(spec: Spec):
    references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(spec))
    assert references
    for reference in references:
        assert reference.startswith("#/")
        assert resolved(spec, {"$ref": reference})


def test_every_parameter_of_a_path_is_described(spec: Spec):
    for _, path, operation in operations(spec):
        described = [
            resolved(spec, parameter)
            for parameter in spec["paths"][path].get("parameters", [])
            + operation.get("parameters", [])
        ]
        in_path = {given["name"]: given for given in described if given["in"] == "path"}
        assert in_path.keys() == set(re.findall(r"{(\w+)}", path))
        for given in in_path.values():
            assert given["required"] is True
            assert given["schema"].keys() == {"type", "format", "pattern"}
            assert given["schema"]["format"] == "uuid"
            assert re.search(given["schema"]["pattern"], UUID)


def test_patterns_are_of_the_kind_that_every_client_knows(spec: Spec):
    for pattern in re.findall(r'"pattern": "([^"]*)"', json.dumps(spec)):
        assert not re.search(r"\\\\[AZ]|\(\?P", pattern), f"{pattern} is Python's own"


def test_every_operation_has_a_summary_and_a_name(spec: Spec):
    named = [(operation["summary"], *operation["tags"]) for _, _, operation in operations(spec)]
    assert len(set(named)) == len(named)
    described = {tag["name"] for tag in spec["tags"] if tag["description"]}
    assert {tag for _, *tags in named for tag in tags} <= described


def check_errors(spec: Spec, operation: dict[str, Any]) -> None:
    """Fail unless each error has its shape, and there is no answer that could be anything."""
    assert "default" not in operation["responses"]
    errors = {status for status in operation["responses"] if int(status) >= 400}
    assert errors >= {"500", "503"}
    for status in errors:
        shape = body_schema(spec, operation, status)
        assert resolved(spec, shape) == spec["components"]["schemas"]["Error"]


@pytest.mark.parametrize(("method", "path", "status", "private"), CALLS)
def test_every_call_is_described(spec: Spec, method: str, path: str, status: int, private: bool):
    operation = spec["paths"][path][method]
    assert body_schema(spec, operation, str(status))
    check_errors(spec, operation)
    assert operation.get("security", []) == ([{"bearer": []}] if private else [])
    has_body = method == "put" or path.endswith(("/reserve", "/reservations"))
    assert ("requestBody" in operation) == has_body


@pytest.mark.parametrize(("method", "path"), INTERNAL_CALLS)
def test_every_internal_call_is_described(spec: Spec, method: str, path: str):
    operation = spec["paths"][path][method]
    assert body_schema(spec, operation, "200")
    check_errors(spec, operation)
    assert operation["security"] == [{"service": []}]
    scheme = spec["components"]["securitySchemes"]["service"]
    assert scheme == {"type": "apiKey", "in": "header", "name": "X-Internal-Token"}
    assert ("requestBody" in operation) == path.endswith("/payment")


def test_every_answer_has_its_headers(spec: Spec):
    for method, path, operation in operations(spec):
        for status, answer in operation["responses"].items():
            headers = set(resolved(spec, answer)["headers"])
            assert "X-Request-ID" in headers
            assert ("Retry-After" in headers) == (status in ("429", "503")), (
                f"{method} {path} {status}"
            )
            is_document = "304" in operation["responses"]
            assert ("ETag" in headers) == (is_document and status in ("200", "304"))


def test_no_answer_is_described_that_never_comes(spec: Spec):
    for method, path, operation in operations(spec):
        assert "422" not in operation["responses"], f"{method} {path}"


def test_a_call_that_is_limited_says_so(spec: Spec):
    """Calls with a token, as too many bad ones are refused, and searches."""
    for method, path, operation in operations(spec):
        limited = "security" in operation or (method, path) == ("get", "/api/v1/events")
        assert ("429" in operation["responses"]) == limited, f"{method} {path}"


def test_the_query_and_headers_are_described(spec: Spec):
    def parameters(method: str, path: str) -> dict[str, Any]:
        given = spec["paths"][path][method]["parameters"]
        return {parameter["name"]: parameter["schema"] for parameter in given}

    events = parameters("get", "/api/v1/events")
    assert events.keys() == {"page", "limit", "status", "q"}
    assert (events["page"]["minimum"], events["page"]["default"]) == (1, 1)
    limits = (events["limit"]["minimum"], events["limit"]["maximum"], events["limit"]["default"])
    assert limits == (1, 100, 10)
    statuses = {"upcoming", "on_sale", "sold_out", "ended", "cancelled"}
    assert statuses <= set(events["status"]["enum"])
    assert parameters("get", "/api/v1/reservations/my").keys() == {"page", "limit"}
    for path in ("/api/v1/seats/reserve", "/api/v1/reservations"):
        assert parameters("post", path).keys() == {"Idempotency-Key"}


def test_the_page_needs_nothing_from_other_hosts(service: Service):
    page = service.get("/docs")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    html = page.body.decode()
    assert not re.search(r"""["'(]\s*(https?:)?//""", html)
    assets = re.findall(r"""(?:src|href)=["']([^"']+)["']""", html)
    kinds = {asset.rsplit(".", 1)[1] for asset in assets}
    assert {"js", "css"} <= kinds
    for asset in assets:
        answer = service.request("GET", urljoin("/api/v1/docs", asset))
        assert answer.status == 200
        assert len(answer.body) > 1_000
        assert re.search("javascript|css", answer.headers["Content-Type"])
    [description] = re.findall(r'url: "([^"]+)"', html)
    assert service.request("GET", description).json()["openapi"]
