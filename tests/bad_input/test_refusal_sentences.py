"""What a person can do wrong, and the sentence that they read: what is wrong, and the limit."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.bad_input import seat_order, ticket_order
from tests.support.browser import run_client
from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.service import Service
from tests.support.wire import check_error

SEATS, TICKETS = 4, 10
"""The limits."""

NO_SEATS = (
    f"좌석을 선택해 주세요. 한 번에 최대 {SEATS}석까지 예매할 수 있습니다.",
    f"Please choose a seat. You can take up to {SEATS} at once.",
)
TOO_MANY_SEATS = (
    f"좌석은 한 번에 최대 {SEATS}석까지 선택할 수 있습니다.",
    f"You can choose at most {SEATS} seats at once.",
)
SEAT_TWICE = ("같은 좌석을 두 번 선택할 수 없습니다.", "The same seat cannot be chosen twice.")
NO_TICKETS = (
    f"티켓을 1매 이상 선택해 주세요. 종류별로 한 번에 최대 {TICKETS}매까지 예매할 수 있습니다.",
    f"Please choose at least one ticket. You can take up to {TICKETS} of a type at once.",
)
TOO_MANY_TICKETS = (
    f"티켓은 종류별로 한 번에 최대 {TICKETS}매까지 예매할 수 있습니다.",
    f"You can take at most {TICKETS} tickets of a type at once.",
)
BAD_QUANTITY = (
    "티켓 수량은 1 이상의 정수로 입력해 주세요.",
    "Please enter the number of tickets as a whole number from 1.",
)

Sentences = tuple[str, str]


def check_both(send: Callable[[dict[str, str]], Any], sentences: Sentences) -> None:
    """In the caller's language."""
    for language, sentence in zip(("ko", "en"), sentences, strict=True):
        error = check_error(send({"Accept-Language": language}), 400, "VALIDATION_ERROR")
        assert error["error"] == sentence


@pytest.mark.parametrize(
    ("choose", "sentences"),
    [
        (lambda seats: [], NO_SEATS),
        (lambda seats: seats[: SEATS + 1], TOO_MANY_SEATS),
        (lambda seats: seats[:1] * 1_200, TOO_MANY_SEATS),
        (lambda seats: seats[:1] * 2, SEAT_TWICE),
    ],
    ids=["none", "too many", "far too many", "twice"],
)
def test_seats(
    service: Service,
    event: Event,
    choose: Callable[[list[str]], list[str]],
    sentences: Sentences,
):
    body = seat_order(event) | {"seatIds": choose(event.seat_ids)}
    check_both(
        lambda headers: service.post(
            "/seats/reserve", token=token_for(), json=body, headers=headers
        ),
        sentences,
    )


@pytest.mark.parametrize(
    ("quantities", "sentences"),
    [
        ([], NO_TICKETS),
        ([0], NO_TICKETS),
        ([2, -1], NO_TICKETS),
        ([TICKETS + 1], TOO_MANY_TICKETS),
        ([TICKETS, 1], TOO_MANY_TICKETS),
        ([2_000_000], TOO_MANY_TICKETS),
        ([1.5], BAD_QUANTITY),
        (["2"], BAD_QUANTITY),
    ],
    ids=str,
)
def test_tickets(service: Service, event: Event, quantities: list[Any], sentences: Sentences):
    body = ticket_order(event)
    body["items"] = [{**body["items"][0], "quantity": quantity} for quantity in quantities]
    check_both(
        lambda headers: service.post(
            "/reservations", token=token_for(), json=body, headers=headers
        ),
        sentences,
    )


@pytest.mark.parametrize(
    ("method", "path", "options", "words"),
    [
        ("GET", "/events?q=" + "x" * 256, {}, ("검색어", "255 characters")),
        ("GET", "/events?page=0", {}, ("페이지", "999,999,999")),
        ("GET", "/events/not-an-event", {}, ("주소", "address")),
        ("PUT", "/queue/admin/{}", {"json": {"threshold": 0}}, ("10,000,000명", "10,000,000")),
    ],
    ids=["search", "page", "address", "threshold"],
)
def test_what_is_typed(
    service: Service,
    event: Event,
    method: str,
    path: str,
    options: dict[str, Any],
    words: Sentences,
):
    for language, word in zip(("ko", "en"), words, strict=True):
        answer = service.request(
            method,
            f"/api/v1{path.format(event.id)}",
            token=token_for(role="admin"),
            headers={"Accept-Language": language},
            **options,
        )
        assert word in check_error(answer, 400, "VALIDATION_ERROR")["error"]


def test_choices_over_a_socket(service: Service, event: Event):
    with run_client(service.url) as browser:
        browser.join("join-seat-selection", event)
        for seats, sentences in (
            (event.seat_ids[: SEATS + 1], TOO_MANY_SEATS),
            (event.seat_ids[:1] * 120, TOO_MANY_SEATS),
            (event.seat_ids[:1] * 2, SEAT_TWICE),
        ):
            choice = {"eventId": event.id, "seats": seats}
            refused = browser.emit("seat-selection-changed", choice)
            assert (refused["code"], refused["error"]) == ("VALIDATION_ERROR", sentences[0])
