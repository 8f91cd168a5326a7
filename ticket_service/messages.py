"""The sentences that people read: Korean first, English where the client prefers it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from werkzeug.http import parse_accept_header

Language = Literal["ko", "en"]

MAX_ACCEPT_LENGTH = 250
"""Characters of an Accept header that are looked at: browsers send half as many, and a long one
takes long to parse."""

SENTENCES: dict[str, tuple[str, str]] = {
    # Refusals, by ServiceError.message or code.
    "VALIDATION_ERROR": ("요청 내용이 올바르지 않습니다.", "The request is not valid."),
    "AMOUNT_TOO_LARGE": (
        "한 번에 예매할 수 있는 금액은 최대 {limit}원입니다.",
        "One reservation can be for at most {limit} won.",
    ),
    "NO_SEATS": (
        "좌석을 선택해 주세요. 한 번에 최대 {limit}석까지 예매할 수 있습니다.",
        "Please choose a seat. You can take up to {limit} at once.",
    ),
    "TOO_MANY_SEATS": (
        "좌석은 한 번에 최대 {limit}석까지 선택할 수 있습니다.",
        "You can choose at most {limit} seats at once.",
    ),
    "SEAT_TWICE": (
        "같은 좌석을 두 번 선택할 수 없습니다.",
        "The same seat cannot be chosen twice.",
    ),
    "NO_TICKETS": (
        "티켓을 1매 이상 선택해 주세요. 종류별로 한 번에 최대 {limit}매까지 예매할 수 있습니다.",
        "Please choose at least one ticket. You can take up to {limit} of a type at once.",
    ),
    "TOO_MANY_TICKETS": (
        "티켓은 종류별로 한 번에 최대 {limit}매까지 예매할 수 있습니다.",
        "You can take at most {limit} tickets of a type at once.",
    ),
    "BAD_QUANTITY": (
        "티켓 수량은 1 이상의 정수로 입력해 주세요.",
        "Please enter the number of tickets as a whole number from 1.",
    ),
    "SEARCH_TOO_LONG": (
        "검색어는 최대 {limit}자까지 입력할 수 있습니다.",
        "You can search for at most {limit} characters.",
    ),
    "BAD_PAGE": (
        "페이지 번호는 1부터 {limit}까지의 정수여야 합니다.",
        "The page must be a whole number from 1 to {limit}.",
    ),
    "BAD_THRESHOLD": (
        "동시 입장 인원은 1명부터 {limit}명까지 설정할 수 있습니다.",
        "The number of people inside must be from 1 to {limit}.",
    ),
    "BAD_ADDRESS": (
        "주소가 올바르지 않습니다. 다시 확인해 주세요.",
        "This address is not valid. Please check it.",
    ),
    "IDEMPOTENCY_KEY_REUSED": (
        "이미 다른 내용으로 접수된 예매 요청입니다. 예매 내역을 확인해 주세요.",
        "This request was already made with other contents. Please look at your reservations.",
    ),
    "BODY_TOO_LARGE": ("요청 본문이 너무 큽니다.", "The request body is too large."),
    "UNSUPPORTED_MEDIA_TYPE": (
        "요청 본문은 JSON(application/json)이어야 합니다.",
        "The request body must be JSON (application/json).",
    ),
    "METHOD_NOT_ALLOWED": (
        "이 주소에서 지원하지 않는 요청 방식입니다.",
        "This address does not answer that method.",
    ),
    "UPGRADE_REQUIRED": (
        "이 주소는 WebSocket 연결만 받습니다.",
        "This address takes WebSockets only.",
    ),
    "AUTHENTICATION_REQUIRED": ("로그인이 필요합니다.", "Please log in."),
    "INVALID_TOKEN": (
        "로그인 정보가 올바르지 않습니다. 다시 로그인해 주세요.",
        "Your login is not valid. Please log in again.",
    ),
    "TOKEN_EXPIRED": (
        "로그인이 만료되었습니다. 다시 로그인해 주세요.",
        "Your login has expired. Please log in again.",
    ),
    "USER_NOT_FOUND": (
        "사용자 정보를 찾을 수 없습니다. 다시 로그인해 주세요.",
        "We do not know this user. Please log in again.",
    ),
    "FORBIDDEN": ("관리자만 사용할 수 있습니다.", "Only an administrator may do this."),
    "NOT_FOUND": ("요청한 주소를 찾을 수 없습니다.", "There is nothing at this address."),
    "EVENT_NOT_FOUND": ("공연을 찾을 수 없습니다.", "There is no such event."),
    "SEAT_NOT_FOUND": ("이 공연에 없는 좌석입니다.", "This event has no such seat."),
    "TICKET_TYPE_NOT_FOUND": ("티켓 종류를 찾을 수 없습니다.", "There is no such ticket type."),
    "RESERVATION_NOT_FOUND": ("예매 내역을 찾을 수 없습니다.", "There is no such reservation."),
    "SEAT_SELECTION_UNAVAILABLE": (
        "좌석을 선택할 수 없는 공연입니다.",
        "This event has no seat selection.",
    ),
    "SALE_NOT_OPEN": ("지금은 예매할 수 없는 공연입니다.", "This event is not on sale now."),
    "SEAT_ALREADY_RESERVED": (
        "이미 선택된 좌석입니다: {labels}",
        "These seats are already taken: {labels}",
    ),
    "SEAT_LOCKED": (
        "다른 고객이 선택 중인 좌석이 있습니다. 잠시 후 다시 시도해 주세요.",
        "Someone is just taking one of these seats. Please try again in a moment.",
    ),
    "TICKETS_SOLD_OUT": ("남은 티켓이 부족합니다: {names}", "Not enough tickets left: {names}"),
    "LIMIT_EXCEEDED": (
        "한 공연당 1인 최대 {limit}매까지 예매할 수 있습니다. 이미 예매하신 수량도 포함됩니다.",
        "One person can have at most {limit} tickets for one event, with those they already have.",
    ),
    "QUEUE_REQUIRED": (
        "대기열에서 차례를 기다린 후 예매할 수 있습니다.",
        "Please wait for your turn in the waiting room before you buy.",
    ),
    "QUEUE_UNAVAILABLE": (
        "지금은 대기열을 이용할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        "The waiting room is not available. Please try again in a moment.",
    ),
    "RATE_LIMITED": (
        "너무 자주 시도하셨습니다. {seconds}초 후에 다시 시도해 주세요.",
        "You have tried too often. Please try again in {seconds} s.",
    ),
    "TOO_MANY_FROM_ADDRESS": (
        "사용 중인 네트워크에서 요청이 너무 많습니다. {seconds}초 후에 다시 시도해 주세요.",
        "Too many requests come from your network. Please try again in {seconds} s.",
    ),
    "TOO_MANY_MESSAGES": (
        "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
        "Too many messages. Please try again in a moment.",
    ),
    "TOO_MANY_ROOMS": (
        "한 번에 볼 수 있는 공연 화면은 최대 {limit}개입니다.",
        "You can look at no more than {limit} event pages at once.",
    ),
    "TOO_MANY_SOCKETS": (
        "동시에 열 수 있는 연결은 최대 {limit}개입니다. 다른 창을 닫아 주세요.",
        "You can have at most {limit} connections at once. Please close another window.",
    ),
    "NOT_IN_ROOM": (
        "좌석 선택 화면에 먼저 입장해 주세요.",
        "Please join the seat selection of this event first.",
    ),
    "RESERVATION_EXPIRED": (
        "결제 시간이 지나 취소된 예매입니다.",
        "The time to pay for this reservation has run out.",
    ),
    "PAYMENT_REUSED": (
        "다른 예매에 사용된 결제입니다.",
        "This payment was made for another reservation.",
    ),
    "ALREADY_CANCELLED": ("이미 취소된 예매입니다.", "This reservation is already cancelled."),
    "CANCELLATION_CLOSED": (
        "공연이 시작된 후에는 예매를 취소할 수 없습니다.",
        "A reservation cannot be cancelled any more once the event has begun.",
    ),
    "SERVICE_UNAVAILABLE": (
        "지금은 요청이 많습니다. 잠시 후 다시 시도해 주세요.",
        "The service is busy. Please try again in a moment.",
    ),
    "INTERNAL_ERROR": (
        "문제가 발생했습니다. 잠시 후 다시 시도해 주세요.",
        "Something went wrong on our side. Please try again in a moment.",
    ),
    # Good news.
    "SEATS_HELD": ("좌석을 선점했습니다.", "Your seats are held."),
    "TICKETS_HELD": ("티켓을 선점했습니다.", "Your tickets are held."),
    "EVENTS_LOOKED_AT": (
        "모든 공연의 판매 일정을 다시 확인합니다.",
        "The sales of all events are looked at again.",
    ),
    "PAYMENT_NOTED": ("결제 결과를 반영했습니다.", "The payment was noted."),
    "QUEUE_LEFT": ("대기열에서 나왔습니다.", "You left the waiting room."),
    "QUEUE_CLEARED": ("대기열을 비웠습니다.", "The waiting room is empty now."),
    "RESERVATION_CANCELLED": ("예매를 취소했습니다.", "Your reservation is cancelled."),
    "CANCELLED_AND_REFUND_DUE": (
        "예매를 취소했습니다. 결제하신 금액은 곧 환불됩니다.",
        "Your reservation is cancelled. Your payment will be refunded.",
    ),
    # What sockets are told.
    "ENTRY_ALLOWED": ("입장 순서가 되었습니다.", "It is your turn: you can enter now."),
    "QUEUE_WAS_CLEARED": (
        "대기열이 초기화되었습니다. 다시 입장해 주세요.",
        "The waiting room was cleared. Please enter again.",
    ),
    "STAY_ENDED": (
        "입장 시간이 끝났습니다. 계속하려면 다시 입장해 주세요.",
        "Your time inside is over. Please enter again to go on.",
    ),
}


def sentence(key: str, language: Language, **values: object) -> str:
    """The sentence for `key`, its placeholders filled from `values`."""
    korean, english = SENTENCES[key]
    return (english if language == "en" else korean).format(**values)


def preferred_language(accept_language: str) -> Language:
    """Korean, unless the Accept-Language header ranks English before it."""
    return _preferred_language(accept_language[:MAX_ACCEPT_LENGTH])


@lru_cache(maxsize=1_000)
def _preferred_language(accept_language: str) -> Language:
    for tag, quality in parse_accept_header(accept_language):  # best first
        language = tag.lower().partition("-")[0]
        if language in ("ko", "en") and quality > 0:
            return "en" if language == "en" else "ko"
    return "ko"
