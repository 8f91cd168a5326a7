"""Each bound in the OpenAPI description: what is at it is accepted, what is beyond it refused."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest

from dev.servers import Servers
from tests.support import internal
from tests.support.buyers import token_for
from tests.support.openapi import Spec, description, operations, resolved
from tests.support.service import Response, Service, run_service
from tests.support.wire import check_error

UUID = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"

# What fits a pattern and what does not.
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$": (
        [UUID, UUID.upper()],
        [UUID[:-1], UUID + "0", UUID.replace("-", ""), f"{{{UUID}}}"],
    ),
    "^[!-~]{1,255}$": (["!", "~" * 255], ["", "~" * 256, "a b"]),
    r"^[^\x00]*$": (["", " ", "가"], ["\0", "a\0b"]),
    r"^[^\x00]*\S[^\x00]*$": (["a", " 가 "], [" ", "\t", "a\0"]),
}

# Keywords that bound nothing, and those that `_scalar`, `_array` or `_object` knows.
SILENT = {"type", "format", "description", "default", "example", "items", "properties"}
KNOWN = {"minimum", "maximum", "minLength", "maxLength", "pattern", "enum", "nullable"} | {
    *("minItems", "maxItems", "uniqueItems"),
    *("required", "additionalProperties", "minProperties"),
}


class Probe(NamedTuple):
    """A value at a bound, and one beyond it; None where a bound has only one side."""

    bound: str
    good: list[Any]
    bad: list[Any]


def probes(spec: Spec, schema: dict[str, Any], name: str) -> Iterator[Probe]:
    """All bounds of a schema and of what is in it."""
    schema = resolved(spec, schema)
    assert schema.keys() <= SILENT | KNOWN, f"{name} has a bound that no test knows"
    kind = {"array": _array, "object": _object}.get(schema["type"], _scalar)
    yield from kind(spec, schema, name)


def _scalar(spec: Spec, schema: dict[str, Any], name: str) -> Iterator[Probe]:
    wrong = {"integer": ["1", 1.5, True], "boolean": [1, "true"], "string": [1, [], {}]}
    yield Probe(f"{name} type", [], wrong[schema["type"]])
    null = ([None], []) if schema.get("nullable") else ([], [None])
    yield Probe(f"{name} null", *null)
    for keyword, step in (("minimum", -1), ("maximum", 1)):
        if keyword in schema:
            yield Probe(f"{name} {keyword}", [schema[keyword]], [schema[keyword] + step])
    for keyword, step in (("minLength", -1), ("maxLength", 1)):
        if keyword in schema:
            length = schema[keyword]
            yield Probe(f"{name} {keyword}", ["x" * length], ["x" * (length + step)])
    if "pattern" in schema:
        yield Probe(f"{name} pattern", *WORDS[schema["pattern"]])
    if "enum" in schema:
        yield Probe(f"{name} enum", schema["enum"], ["other"])


def _array(spec: Spec, schema: dict[str, Any], name: str) -> Iterator[Probe]:
    def elements(count: int) -> list[Any]:
        return [usual(spec, schema["items"]) for _ in range(count)]

    for keyword, step in (("minItems", -1), ("maxItems", 1)):
        if keyword in schema:
            count = schema[keyword]
            yield Probe(f"{name} {keyword}", [elements(count)], [elements(count + step)])
    if schema.get("uniqueItems"):
        yield Probe(f"{name} uniqueItems", [elements(2)], [elements(1) * 2])
    for probe in probes(spec, schema["items"], f"{name}[]"):
        bound, good, bad = probe
        yield Probe(bound, [[value] for value in good], [[value] for value in bad])


def _object(spec: Spec, schema: dict[str, Any], name: str) -> Iterator[Probe]:
    whole = usual(spec, schema)
    fewest = schema.get("minProperties", 0)
    for field, described in schema["properties"].items():
        least = {field: whole[field]} | {key: whole[key] for key in schema.get("required", [])}
        rest = {key: value for key, value in whole.items() if key != field}
        if field in schema.get("required", []):
            yield Probe(f"{name}.{field} required", [least], [rest])
        else:
            yield Probe(f"{name}.{field} optional", [least] if fewest <= 1 else [], [])
        for bound, good, bad in probes(spec, described, f"{name}.{field}"):
            yield Probe(
                bound,
                [{**whole, field: value} for value in good],
                [{**whole, field: value} for value in bad],
            )
    if fewest:
        yield Probe(f"{name} minProperties", [], [dict(list(whole.items())[: fewest - 1])])
    elif not schema.get("required"):
        yield Probe(f"{name} minProperties", [{}], [])
    if schema.get("additionalProperties") is False:
        yield Probe(f"{name} additionalProperties", [whole], [{**whole, "other": 1}])


def usual(spec: Spec, schema: dict[str, Any]) -> Any:
    """A value within all bounds; ids differ from call to call."""
    schema = resolved(spec, schema)
    if schema["type"] == "object":
        return {name: usual(spec, part) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [usual(spec, schema["items"])]
    if schema.get("format") == "uuid":
        return str(uuid4())
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": schema.get("minimum", 1), "boolean": False, "string": "x"}[schema["type"]]


@pytest.fixture(scope="module")
def bounded(servers: Servers, folder: Path) -> Iterator[Service]:
    """An instance whose limits are its own."""
    with run_service(
        folder,
        INTERNAL_API_TOKEN=internal.TOKEN,
        MAX_SEATS_PER_RESERVATION="3",
        MAX_TICKETS_PER_RESERVATION="7",
    ) as instance:
        yield instance
        instance.kill()


Send = Callable[[Any], Response]


def sender(service: Service, method: str, path: str, spec: Spec) -> Send:
    """Sends a body, with every token; the ids in the path are of nothing."""
    for given in spec["paths"][path].get("parameters", []):
        path = path.replace(f"{{{given['name']}}}", str(uuid4()))
    token = token_for(role="admin")
    return lambda body: service.request(
        method.upper(), path, token=token, json=body, headers=internal.SERVICE
    )


def check(probe: Probe, send: Send, seen: list[str]) -> list[str]:
    """What is not as described: a value that should be accepted and gets 400, or the reverse."""
    seen.append(probe.bound.split()[-1])
    wrong = [f"{probe.bound}: {value!r} 400" for value in probe.good if send(value).status == 400]
    for value in probe.bad:
        answer = send(value)
        if answer.status != 400:
            wrong.append(f"{probe.bound}: {value!r} {answer.status}")
        else:
            check_error(answer, 400, "VALIDATION_ERROR")
    return wrong


def test_bodies_are_refused_where_the_description_says_so(bounded: Service):
    spec = description(bounded)
    wrong: list[str] = []
    seen: list[str] = []
    for method, path, operation in operations(spec):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            send = sender(bounded, method, path, spec)
            for probe in probes(spec, schema, f"{method} {path} body"):
                wrong += check(probe, send, seen)
    assert wrong == []
    assert {"minItems", "maxItems", "uniqueItems", "minProperties", "required"} < set(seen)
    assert {"additionalProperties", "maximum", "maxLength", "pattern", "enum"} < set(seen)


def test_parameters_are_refused_where_the_description_says_so(bounded: Service):
    spec = description(bounded)
    wrong: list[str] = []
    seen: list[str] = []
    for method, path, operation in operations(spec):
        described = spec["paths"][path].get("parameters", []) + operation.get("parameters", [])
        for parameter in described:
            send = partial(send_parameter, bounded, spec, method, path, operation, parameter)
            for probe in probes(spec, parameter["schema"], f"{method} {path} {parameter['name']}"):
                if probe.bound.split()[-1] not in ("type", "null"):  # all are text
                    wrong += check(probe, send, seen)
    assert wrong == []
    assert set(seen) == {"minimum", "maximum", "maxLength", "pattern", "enum"}


def send_parameter(
    service: Service,
    spec: Spec,
    method: str,
    path: str,
    operation: dict[str, Any],
    parameter: dict[str, Any],
    value: object,
) -> Response:
    """A request that is good but for this parameter."""
    name, headers, query, body = parameter["name"], dict(internal.SERVICE), "", None
    if parameter["in"] == "path":
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    elif parameter["in"] == "query":
        query = "?" + urlencode({name: value})
    else:
        headers[name] = str(value)
    if "requestBody" in operation:
        body = usual(spec, operation["requestBody"]["content"]["application/json"]["schema"])
    token = token_for(role="admin")
    return service.request(method.upper(), path + query, token=token, json=body, headers=headers)


def test_the_description_has_the_limits_of_its_instance(service: Service, bounded: Service):
    def limits(of: Service) -> tuple[int, int]:
        schemas = description(of)["components"]["schemas"]
        seats = schemas["SeatReserve"]["properties"]["seatIds"]
        return seats["maxItems"], schemas["TicketLine"]["properties"]["quantity"]["maximum"]

    assert limits(service) == (4, 10)
    assert limits(bounded) == (3, 7)


def test_lines_of_one_type_are_counted_together(service: Service):
    """Which OpenAPI has no word for, so the description says it."""
    line = {"ticketTypeId": UUID, "quantity": 5}
    for count, status in ((2, 404), (3, 400)):
        body = {"eventId": UUID, "items": [line] * count}
        answer = service.post("/reservations", token=token_for(), json=body)
        assert answer.status == status
    items = description(service)["components"]["schemas"]["TicketReserve"]["properties"]["items"]
    assert "same ticket type are merged" in items["description"]
