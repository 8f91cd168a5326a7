"""Queries, paths and methods that no client should send, and what is answered."""

from urllib.parse import quote

import pytest

from tests.support.bad_input import MALFORMED_IDS, OWN_READS, PUBLIC_READS, QUEUE_WRITES, UUID
from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.service import Service
from tests.support.wire import check_error

READS = [
    "/api/v1/events",
    f"/api/v1/events/{UUID}",
    f"/api/v1/tickets/event/{UUID}",
    f"/api/v1/tickets/availability/{UUID}",
    "/api/v1/seats/layouts",
    f"/api/v1/seats/events/{UUID}",
    f"/api/v1/seats/reservation/{UUID}",
    "/api/v1/reservations/my",
    f"/api/v1/reservations/{UUID}",
    f"/api/v1/queue/status/{UUID}",
    "/api/v1/internal/audit",
    "/health",
]
WRITES = [
    "/api/v1/seats/reserve",
    "/api/v1/reservations",
    f"/api/v1/reservations/{UUID}/cancel",
    *(f"/api/v1{path.format(UUID)}" for path in QUEUE_WRITES),
    f"/api/v1/internal/reservations/{UUID}/payment",
]
METHODS = [
    *((path, {"GET", "HEAD", "OPTIONS"}) for path in READS),
    *((path, {"POST", "OPTIONS"}) for path in WRITES),
    (f"/api/v1/queue/admin/{UUID}", {"GET", "HEAD", "PUT", "OPTIONS"}),
]


@pytest.mark.parametrize("path", ["/events", "/reservations/my"])
@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-1",
        "9223372036854775808",
        "1" * 400,
        "1.5",
        "1.0",
        "abc",
        "",
        "%20",
        "1e1",
        "0x1",
        "%2B1",
        "1%00",
        "%00",
        "%D9%A1",
        "%EF%BC%91",
        "true",
        "null",
        "1,2",
        "1%0A",
        "%FF",
    ],
)
def test_a_page_is_a_whole_number_from_one(service: Service, path: str, name: str, value: str):
    answer = service.get(f"{path}?{name}={value}", token=token_for())
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"].keys() == {name}


@pytest.mark.parametrize("path", ["/events", "/reservations/my"])
def test_a_page_has_a_hundred_lines_at_most(service: Service, path: str):
    assert service.get(f"{path}?limit=100", token=token_for()).status == 200
    check_error(service.get(f"{path}?limit=101", token=token_for()), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "query",
    [
        "status=sold",
        "status=ON_SALE",
        "status=on_sale%00",
        "status=on_sale,ended",
        "q=%00",
        "q=a%00b",
        "q=" + "x" * 256,
        "q=x&page=0",
    ],
)
def test_a_query_of_the_events_that_means_nothing_is_refused(service: Service, query: str):
    check_error(service.get(f"/events?{query}"), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("query", ["q=%FF", "q=%ED%A0%80", "q=%", "q=%zz", "&&=&", "page[]=0"])
def test_a_query_that_is_badly_encoded_does_no_harm(service: Service, query: str):
    assert service.get(f"/events?{query}").status == 200


@pytest.mark.parametrize("path", PUBLIC_READS + OWN_READS)
@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_in_a_path_must_be_a_uuid(service: Service, path: str, wrong: str):
    answer = service.get(path.format(quote(wrong)), token=token_for())
    check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_to_cancel_must_be_a_uuid(service: Service, wrong: str):
    answer = service.post(f"/reservations/{quote(wrong)}/cancel", token=token_for())
    check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=repr)
def test_an_id_of_a_waiting_room_must_be_a_uuid(service: Service, wrong: str):
    token = token_for(role="admin")
    for path in QUEUE_WRITES:
        answer = service.post(path.format(quote(wrong)), token=token)
        check_error(answer, 400, "VALIDATION_ERROR")
    for path in ("/queue/status/{}", "/queue/admin/{}"):
        answer = service.get(path.format(quote(wrong)), token=token)
        check_error(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/events",
        "/events",
        "/api/v1/events//",
        f"/api/v1/events/{UUID}//",
        f"/api/v1/events/{UUID}/seats",
        "/api/v1/%00",
        "/api/v1/events%00",
        "/api/v1/%FF",
        "/health/",
        "/health/nothing",
    ],
)
def test_an_unknown_address_is_not_found(service: Service, path: str):
    for method in ("GET", "POST"):
        check_error(service.request(method, path, token=token_for()), 404, "NOT_FOUND")


@pytest.mark.parametrize(("path", "allowed"), METHODS)
def test_a_wrong_method_is_refused_with_the_right_ones(
    service: Service, path: str, allowed: set[str]
):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"} - allowed:
        answer = service.request(method, path, token=token_for())
        check_error(answer, 405, "VALIDATION_ERROR")
        assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(("path", "allowed"), METHODS)
def test_options_lists_the_methods(service: Service, path: str, allowed: set[str]):
    answer = service.request("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_is_get_without_the_body(service: Service, event: Event):
    token = token_for()
    for path in (
        f"/api/v1/events/{event.id}",
        f"/api/v1/seats/events/{event.id}",
        f"/api/v1/tickets/event/{event.id}",
        f"/api/v1/tickets/availability/{event.ticket_type_ids[0]}",
        f"/api/v1/events/{UUID}",
        "/api/v1/reservations/my",
        "/api/v1/nothing",
        "/health",
    ):
        whole = service.request("GET", path, token=token)
        head = service.request("HEAD", path, token=token)
        assert (head.status, head.body) == (whole.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Vary"):
            assert head.headers.get(name) == whole.headers.get(name)
