"""The errors with which requests and messages are refused. http/errors.py maps them to HTTP.

`code` is what programs read (docs/contract.md, "Errors"); the sentence for people is found in
messages.py under `message`, which is the code unless a refusal has a sentence of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """The base of all refusals."""

    code: ClassVar[str]
    """For programs."""
    message: str | None = None
    """The key of the sentence in messages.py, if it is not the code."""
    retry_after: int | None = None
    """Whole seconds after which a retry makes sense; None if it does not."""

    def __init__(self, details: dict[str, Any] | None = None, **values: object) -> None:
        """`details`: sent to the client unchanged. `values`: put into the sentence."""
        super().__init__(self.code)
        self.details = details
        self.values = values


class InvalidInput(ServiceError):
    """The request is malformed. `details` maps each bad field to its faults."""

    code = "VALIDATION_ERROR"

    def __init__(
        self, details: dict[str, Any] | None = None, message: str | None = None, **values: object
    ) -> None:
        """`message`: the key of a sentence that says what is wrong."""
        super().__init__(details, **values)
        self.message = message or self.message


class AmountTooLarge(InvalidInput):
    message = "AMOUNT_TOO_LARGE"


class IdempotencyKeyReused(ServiceError):
    """The buyer used this Idempotency-Key for another reservation before."""

    code = "VALIDATION_ERROR"
    message = "IDEMPOTENCY_KEY_REUSED"


class AuthenticationRequired(ServiceError):
    code = "AUTHENTICATION_REQUIRED"


class InvalidToken(ServiceError):
    code = "INVALID_TOKEN"


class TokenExpired(ServiceError):
    code = "TOKEN_EXPIRED"


class UserNotFound(ServiceError):
    """The token is good, but the shared database knows no such user."""

    code = "USER_NOT_FOUND"


class Forbidden(ServiceError):
    """The token is good, but not an admin's."""

    code = "FORBIDDEN"


class EventNotFound(ServiceError):
    code = "EVENT_NOT_FOUND"


class SeatNotFound(ServiceError):
    code = "SEAT_NOT_FOUND"


class TicketTypeNotFound(ServiceError):
    code = "TICKET_TYPE_NOT_FOUND"


class ReservationNotFound(ServiceError):
    """There is no such reservation, or it is another buyer's. The answer does not say which."""

    code = "RESERVATION_NOT_FOUND"


class SeatSelectionUnavailable(ServiceError):
    """The event has no seat layout."""

    code = "SEAT_SELECTION_UNAVAILABLE"


class SaleNotOpen(ServiceError):
    code = "SALE_NOT_OPEN"


class SeatLocked(ServiceError):
    """Another request is taking one of the seats now, and may still fail."""

    code = "SEAT_LOCKED"
    retry_after = 1


class SeatAlreadyReserved(ServiceError):
    code = "SEAT_ALREADY_RESERVED"


class TicketsSoldOut(ServiceError):
    code = "TICKETS_SOLD_OUT"


class LimitExceeded(ServiceError):
    """The buyer would have too many live tickets and seats of one event."""

    code = "LIMIT_EXCEEDED"


class QueueRequired(ServiceError):
    """The buyer is not inside the waiting room. `details` have their place."""

    code = "QUEUE_REQUIRED"


class RateLimited(ServiceError):
    """The person sends too many messages."""

    code = "RATE_LIMITED"
    message = "TOO_MANY_MESSAGES"
    retry_after = 1


class TooManyRequests(ServiceError):
    """The person does something too often. `details` and `retry_after` say how long to wait."""

    code = "RATE_LIMITED"

    def __init__(self, seconds: int) -> None:
        """`seconds`: until it is allowed again."""
        super().__init__({"retryAfter": seconds}, seconds=seconds)
        self.retry_after = seconds


class TooManyFromAddress(TooManyRequests):
    """The same, from one address, behind which there may be many people."""

    message = "TOO_MANY_FROM_ADDRESS"


class TooManyRooms(ServiceError):
    """The socket is in as many rooms as it may be."""

    code = "LIMIT_EXCEEDED"
    message = "TOO_MANY_ROOMS"


class TooManySockets(ServiceError):
    """The person has as many sockets as they may have."""

    code = "LIMIT_EXCEEDED"
    message = "TOO_MANY_SOCKETS"


class NotInRoom(InvalidInput):
    """The socket is not in the event's seats room, so it may not send choices."""

    message = "NOT_IN_ROOM"


class ReservationExpired(ServiceError):
    code = "RESERVATION_EXPIRED"


class RefundDue(ReservationExpired):
    """The payment came too late, and must be refunded. `details` say how much."""


class PaymentReused(InvalidInput):
    """This payment was for another reservation."""

    message = "PAYMENT_REUSED"


class AlreadyCancelled(ServiceError):
    code = "ALREADY_CANCELLED"


class CancellationClosed(ServiceError):
    """The event has begun."""

    code = "CANCELLATION_CLOSED"


class ServiceUnavailable(ServiceError):
    """A dependency is gone or slow, or all its connections are busy.

    Nothing was changed, unless the connection broke during the commit: then it is not known, and
    a retry with an Idempotency-Key finds out.
    """

    code = "SERVICE_UNAVAILABLE"
    retry_after = 1


class Overloaded(ServiceUnavailable):
    """More is asked than this instance can answer. The request was not read."""

    retry_after = 5  # if all came back after one second, there would be more and more of them


class QueueUnavailable(ServiceUnavailable):
    """Redis did not answer, so there is no waiting room."""

    code = "QUEUE_UNAVAILABLE"


class QueueAway(QueueUnavailable):
    """Redis is away, so there is no waiting room for a while."""

    retry_after = 5
