"""docs/contract.md says what the service does: nothing is missing in it, and nothing is stale."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from dev.workspace import ROOT
from tests.support import contract
from tests.support.openapi import Spec, body_schema, description, faults, operations, resolved
from tests.support.service import Service
from ticket_service import errors
from ticket_service.config import DEFAULT_PORT, LimitSettings
from ticket_service.http.parsing import MAX_BODY_BYTES
from ticket_service.http.responses import STATUS_OF_CODE

# What the service can be refused for beside errors.py.
OTHER_STATUSES = {"NOT_FOUND": "404", "INTERNAL_ERROR": "500"}

# Settings that no client notices.
OPERATORS = {
    *("ENVIRONMENT", "LOG_LEVEL", "DB_SCHEMA", "DB_POOL_SIZE", "RUN_MIGRATIONS", "DRAIN_SECONDS"),
    *("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"),
    *("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"),
    *("JWT_SECRET", "JWT_PUBLIC_KEY", "TRUSTED_PROXIES"),
}

CALLS = contract.calls()

each_call = pytest.mark.parametrize(
    ("method", "path", "part"), CALLS, ids=[f"{method} {path}" for method, path, _ in CALLS]
)


@pytest.fixture(scope="module")
def spec(service: Service) -> Spec:
    return description(service)


# Calls


def test_every_call_is_there_once(spec: Spec):
    served = sorted((method.upper(), path) for method, path, _ in operations(spec))
    assert sorted((method, path) for method, path, _ in CALLS) == served


@each_call
def test_a_call_has_its_token(spec: Spec, method: str, path: str, part: contract.Section):
    [token] = re.findall(r"^Token: (\w+)\.$", part.text, re.MULTILINE)
    security = spec["paths"][path][method.lower()].get("security", [])
    schemes = {"none": [], "user": ["bearer"], "admin": ["bearer"], "service": ["service"]}
    assert [name for scheme in security for name in scheme] == schemes[token]
    assert (token == "admin") == ("/admin/" in path)


@each_call
def test_a_call_has_its_parameters(spec: Spec, method: str, path: str, part: contract.Section):
    operation = spec["paths"][path][method.lower()]
    described = spec["paths"][path].get("parameters", []) + operation.get("parameters", [])
    expected = {parameter["name"]: parameter["in"] for parameter in described}
    if "requestBody" in operation:
        expected |= dict.fromkeys(fields_of(spec, json_schema(operation["requestBody"])), "body")
    written = {name: cells[0] for name, cells in part.table("Parameter").items()}
    assert written == expected


def json_schema(body: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = body["content"]["application/json"]["schema"]
    return schema


def fields_of(spec: Spec, schema: dict[str, Any], of: str = "") -> list[str]:
    """All fields of an object, with those of the objects in its lists: `items[].quantity`."""
    found = []
    for name, field in resolved(spec, schema)["properties"].items():
        found.append(of + name)
        inner = resolved(spec, field.get("items", {}))
        if inner.get("type") == "object":
            found += fields_of(spec, inner, f"{of}{name}[].")
    return found


@each_call
def test_the_examples_of_a_call_are_as_described(
    spec: Spec, method: str, path: str, part: contract.Section
):
    operation = spec["paths"][path][method.lower()]
    [request], [answer] = part.blocks("http"), part.blocks("json")
    asked, url = request.split("\n")[0].split(" ")
    pattern = re.sub(r"{\w+}", "[0-9a-f-]{36}", path) + r"(\?.*)?"
    assert asked == method
    assert re.fullmatch(pattern, url)
    [status] = re.findall(r"^Answer (\d+):$", part.text, re.MULTILINE)
    assert faults(spec, body_schema(spec, operation, status), json.loads(answer)) == []
    body = contract.request_body(request)
    assert (body is not None) == ("requestBody" in operation)
    if body is not None:
        assert faults(spec, json_schema(operation["requestBody"]), body) == []


# Errors


def all_errors(kind: type[errors.ServiceError] = errors.ServiceError) -> set[type[Any]]:
    """All kinds of refusals."""
    found = {kind} if hasattr(kind, "code") else set()
    return found.union(*(all_errors(further) for further in kind.__subclasses__()))


def test_every_error_code_is_there_with_its_status():
    codes = {kind.code for kind in all_errors()} | OTHER_STATUSES.keys()
    written = contract.section("Errors").table("Code")
    assert written.keys() == codes
    for code, (status, retry_after, *prose) in written.items():
        assert status == OTHER_STATUSES.get(code, str(STATUS_OF_CODE.get(code)))
        waits = {kind.retry_after for kind in all_errors() if kind.code == code} - {None}
        varies = code == errors.TooManyRequests.code
        assert retry_after == ("varies" if varies else ", ".join(map(str, sorted(waits))))
        assert all(prose), f"{code} is not explained"


def test_calls_name_codes_that_there_are_and_every_code_is_named():
    codes = contract.section("Errors").table("Code").keys()
    named = set().union(*(part.codes() for _, _, part in CALLS))
    assert named <= codes
    others = contract.section("Tokens").text + contract.section("Errors").text.split("| Code")[0]
    general = set(re.findall(r"`([A-Z_]+)`", others))
    assert codes - named - general == {"NOT_FOUND"}
    assert all("Errors: " in part.text for _, _, part in CALLS)


@each_call
def test_a_call_is_described_with_the_statuses_of_its_errors(
    spec: Spec, method: str, path: str, part: contract.Section
):
    table = contract.section("Errors").table("Code")
    operation = spec["paths"][path][method.lower()]
    described = set(operation["responses"])
    success = set(re.findall(r"^Answer (\d+):$", part.text, re.MULTILINE))
    own = {table[code][0] for code in part.codes()}
    token = {
        "none": set(),
        "user": {"401", "429"},
        "admin": {"401", "403", "429"},
        "service": {"403", "429"} if path.startswith("/internal/") else {"401", "403", "429"},
    }
    [kind] = re.findall(r"^Token: (\w+)\.$", part.text, re.MULTILINE)
    body = {"400", "408", "413", "415"} if "requestBody" in operation else set()
    address = {"400"} if "{" in path else set()
    cached = {"304"} if kind == "none" and "/health" not in path else set()
    expected = success | own | token[kind] | body | address | cached | {"500", "503"}
    if "Idempotency-Key" in part.text:
        expected.add("409")
    assert described == expected


def test_the_example_of_an_error_has_its_shape(spec: Spec):
    [example] = contract.section("Errors").blocks("json")
    schema = spec["components"]["schemas"]["Error"]
    assert faults(spec, schema, json.loads(example)) == []


def test_limits_of_requests_are_as_written():
    text = " ".join(contract.section("Common rules").text.split())
    assert f"below {MAX_BODY_BYTES // 1024} kB" in text
    assert f"port {DEFAULT_PORT}" in text


def test_every_limit_is_there_with_its_setting():
    written = contract.section("Limits").table("What").values()
    settings = {setting.strip("`") for _, setting, _ in written}
    assert settings == {field.name.upper() for field in fields(LimitSettings)}


# Settings and tables


def test_settings_are_there_with_their_defaults():
    example = (ROOT / ".env.example").read_text()
    defaults = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    written = contract.section("Settings that a client notices").table("Name")
    assert written.keys() == defaults.keys() - OPERATORS
    assert defaults.keys() >= OPERATORS
    for name, (default, meaning) in written.items():
        assert default == defaults[name]
        assert meaning


def test_settings_that_are_named_exist():
    page = (ROOT / "docs" / "contract.md").read_text()
    example = (ROOT / ".env.example").read_text()
    names = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    codes = contract.section("Errors").table("Code").keys()
    verdicts = {"REFUND_DUE", "REFUNDED"}
    known = names | codes | verdicts | {"GET", "POST", "PUT"}
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", page)) <= known


def test_tables_and_columns_are_there(database: Connection):
    written = {
        name: {column: cells[0] for column, cells in part.table("Column").items()}
        for name, part in contract.of_chapter("The shared tables").items()
    }
    found: dict[str, dict[str, str]] = {}
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT a.attrelid::regclass::text, a.attname,"
            " replace(replace(format_type(a.atttypid, a.atttypmod),"
            " 'character varying', 'varchar'), ' without time zone', '')"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
            " AND a.attnum > 0 AND NOT a.attisdropped"
        )
        for table, column, kind in cursor.fetchall():
            found.setdefault(table, {})[column] = kind
    assert written == found


# The page itself


def test_links_lead_somewhere():
    page = (ROOT / "docs" / "contract.md").read_text()
    titles = [part.title for part in contract.sections()]
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", page):
        file, _, anchor = target.partition("#")
        assert not file or (ROOT / "docs" / file).exists(), target
        assert not anchor or anchor in anchors, target
