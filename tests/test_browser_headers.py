"""What answers tell browsers: who may read them (CORS), and what to do with them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.servers import Servers
from tests.support.buyers import token_for
from tests.support.factories import MakeEvent
from tests.support.service import Response, Service, run_service
from tests.support.tokens import UUID

StartService = Callable[..., Service]


# CORS

SHOP, OFFICE = "https://tickets.example", "https://office.example:8443"


@pytest.fixture(scope="module")
def shop(servers: Servers, folder: Path) -> Iterator[Service]:
    """An instance for two front ends, as one would write them."""
    with run_service(folder, FRONTEND_URL=f"{SHOP}, {OFFICE}/") as instance:
        yield instance
        instance.kill()


def cors_headers(answer: Response) -> dict[str, set[str]]:
    """The CORS headers, each as the set of its words in lower case."""
    prefix = "access-control-"
    return {
        name.lower().removeprefix(prefix): set(value.lower().split(", "))
        for name, value in answer.headers.items()
        if name.lower().startswith(prefix)
    }


def test_an_allowed_origin_may_read_every_answer(shop: Service, make_event: MakeEvent):
    event = make_event()
    etag = shop.get(f"/events/{event.id}").headers["ETag"]
    for origin in (SHOP, OFFICE):
        headers = {"Origin": origin}
        for answer in (
            shop.get(f"/events/{event.id}", headers=headers),
            shop.get(f"/events/{event.id}", headers={**headers, "If-None-Match": etag}),
            shop.get(f"/events/{UUID}", headers=headers),
            shop.get("/reservations/my", headers=headers),
            shop.get("/reservations/my", headers=headers, token=token_for()),
            shop.get("/nothing", headers=headers),
            shop.post("/events", headers=headers),
        ):
            assert cors_headers(answer) == {
                "allow-origin": {origin},
                "allow-credentials": {"true"},
                "expose-headers": {"etag", "retry-after", "x-request-id"},
            }
            assert "Origin" in answer.headers["Vary"].split(", ")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/events", "/seats/reserve", f"/reservations/{UUID}/cancel"])
def test_a_browser_may_ask_first(shop: Service, path: str, method: str):
    answer = shop.request(
        "OPTIONS",
        f"/api/v1{path}",
        headers={
            "Origin": SHOP,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert (answer.status, answer.body) == (204, b"")
    allowed = cors_headers(answer)
    assert allowed["allow-origin"] == {SHOP}
    assert allowed["allow-credentials"] == {"true"}
    assert {"get", "post"} <= allowed["allow-methods"]
    assert allowed["allow-headers"] == {
        "authorization",
        "content-type",
        "idempotency-key",
        "if-none-match",
        "x-request-id",
    }


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://tickets.example",
        "https://tickets.example:444",
        "https://tickets.example.evil.example",
        "https://eviltickets.example",
        f"{SHOP}, {OFFICE}",
        "null",
        "*",
        "",
    ],
)
def test_an_unknown_origin_may_read_nothing(shop: Service, origin: str):
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    for answer in (
        shop.get("/events", headers={"Origin": origin}),
        shop.request("OPTIONS", "/api/v1/events", headers=preflight),
    ):
        assert not {"allow-origin", "allow-credentials"} & cors_headers(answer).keys()
        assert "Origin" in answer.headers["Vary"].split(", ")


def test_the_default_front_end_is_the_one_on_this_machine(service: Service):
    answer = service.get("/events", headers={"Origin": "http://localhost:3000"})
    assert cors_headers(answer)["allow-origin"] == {"http://localhost:3000"}


def test_the_origin_that_the_deployments_of_today_name_may_read_and_connect(
    start_service: StartService,
):
    service = start_service(SOCKET_IO_CORS_ORIGIN=SHOP)
    for origin, cors, status in ((SHOP, SHOP, 200), ("http://localhost:3000", None, 400)):
        headers = {"Origin": origin}
        answer = service.get("/events", headers=headers)
        assert answer.headers.get("Access-Control-Allow-Origin") == cors
        opened = service.request("GET", "/socket.io/?EIO=4&transport=polling", headers=headers)
        assert opened.status == status


# Headers for browsers


def test_every_answer_tells_browsers_to_do_nothing_with_it(service: Service, make_event: MakeEvent):
    event = make_event()
    etag = service.get(f"/events/{event.id}").headers["ETag"]
    too_long = {"X": "x" * 9_000}
    answers = [
        service.get("/events"),
        service.get("/events"),
        service.get(f"/events/{event.id}", headers={"If-None-Match": etag}),
        service.get("/events/x"),
        service.get("/nothing"),
        service.get("/reservations/my"),
        service.post("/reservations", token=token_for(), json={}),
        service.request("OPTIONS", "/api/v1/events"),
        service.request("GET", "/health"),
        service.request("GET", "/metrics"),
        service.get("/openapi.json"),
        service.request("GET", "/socket.io/?EIO=4&transport=polling"),
        service.request("GET", "/socket.io/?EIO=1"),
        service.request("GET", "/health", headers=too_long),
    ]
    assert {answer.status for answer in answers} == {200, 304, 400, 401, 404, 431}
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_documentation_may_run_its_own_scripts(service: Service):
    for path in ("/docs", "/docs/swagger-ui-bundle.js", "/docs/nothing"):
        answer = service.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        for rule in policy:
            assert not re.search(r"https?:|\*|unsafe-eval", rule)
