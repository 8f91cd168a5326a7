"""The probes, the port for operators, and a body that is not read."""

from collections.abc import Callable

import pytest

from dev.processes import free_port
from dev.servers import Servers
from tests.support.buyers import token_for
from tests.support.databases import new_database
from tests.support.service import Service
from tests.support.wire import check_error
from ticket_service.stores import schema

StartService = Callable[..., Service]


# The port for operators

ADMIN_ONLY = [
    "/metrics",
    "//metrics",
    "/%6detrics",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/api/v1/docs/swagger-ui.css",
    "//api/v1/docs",
]


def test_the_admin_port_has_what_is_for_operators_and_nothing_else(start_service: StartService):
    port = free_port()
    service = start_service(ADMIN_PORT=str(port))
    admin = Service(service.process, port, service.log)
    for path in ADMIN_ONLY:
        assert admin.request("GET", path).status == 200
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}"):
            answer = service.request(
                "GET", path, headers={"Host": host, "X-Forwarded-Port": f"{port}"}
            )
            check_error(answer, 404, "NOT_FOUND")
    for path in ("/health", "/health/live", "/health/ready"):
        assert service.request("GET", path).status == admin.request("GET", path).status == 200
    for path in ("/api/v1/events", "/socket.io/?EIO=4&transport=polling", "/api/v1/nothing"):
        service.request("GET", path)
        check_error(admin.request("GET", path), 404, "NOT_FOUND")
    check_error(admin.post("/reservations", token=token_for(), json={}), 404, "NOT_FOUND")
    assert b'"supportedSubmitMethods": []' in admin.get("/docs").body


def test_without_an_admin_port_one_port_has_everything(service: Service):
    for path in ADMIN_ONLY:
        assert service.request("GET", path).status == 200


# Probes


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_says_that_the_process_answers(service: Service, path: str):
    answer = service.request("GET", path)
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "service": "ticket-service"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_says_that_the_dependencies_answer(service: Service):
    answer = service.request("GET", "/health/ready")
    assert answer.status == 200
    state = answer.json()
    loops = state.pop("loops")
    assert state == {"status": "ok", "postgres": "ok", "redis": "ok"}
    names = {loop["name"] for loop in loops}
    assert {"admission", "expiry", "event-status", "feeds", "presence"} <= names
    for loop in loops:
        assert loop.keys() == {"name", "lastRun", "seconds", "done", "failures", "lag", "late"}


def test_an_instance_without_its_dependencies_says_so(
    servers: Servers, start_service: StartService
):
    with new_database(servers.database_url) as url:
        schema.migrate(url, "public")
        service = start_service(DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0")
        answer = service.request("GET", "/health/ready")
        assert answer.status == 200
        state = answer.json()
        del state["loops"]
        assert state == {"status": "degraded", "postgres": "ok", "redis": "unavailable"}
    answer = service.request("GET", "/health/ready")
    assert answer.status == 503
    assert answer.json()["postgres"] == "unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert service.request("GET", "/health").status == 200
    check_error(service.get("/events"), 503, "SERVICE_UNAVAILABLE")
    service.kill()


@pytest.mark.parametrize("path", ["/api/v1/seats/reserve", "/socket.io/?EIO=4&transport=polling"])
def test_a_body_too_large_to_be_read_ends_its_connection_and_says_so(service: Service, path: str):
    answer = service.request("POST", path, token=token_for(), body=b"2" * 200_000)
    assert 400 <= answer.status < 500
    assert answer.headers["Connection"] == "close"
    small = service.request("POST", path, token=token_for(), body=b"2" * 50_000)
    assert small.headers["Connection"] == "keep-alive"
