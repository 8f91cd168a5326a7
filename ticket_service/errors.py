"""Everything a request can be refused for. These know no HTTP: http/errors.py answers them.

`code` is what programs read (docs/contract.md, "Errors"); the sentence for people is found in
messages.py under `message`, which is the code unless a refusal has a sentence of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """A refusal. `details` goes to the client as it is; `values` fill the sentence."""

    code: ClassVar[str]
    message: ClassVar[str | None] = None
    retry_after: ClassVar[int | None] = None
    """Whole seconds after which trying again makes sense; None where it does not."""

    def __init__(self, details: dict[str, Any] | None = None, **values: object) -> None:
        super().__init__(self.code)
        self.details = details
        self.values = values


class InvalidInput(ServiceError):
    """The request can never succeed as it is; `details` maps each bad field to its faults."""

    code = "VALIDATION_ERROR"


class AmountTooLarge(InvalidInput):
    message = "AMOUNT_TOO_LARGE"


class IdempotencyKeyReused(ServiceError):
    """The buyer used this Idempotency-Key before, for another reservation."""

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
    """No such reservation, or not this buyer's: which of the two is nobody's business."""

    code = "RESERVATION_NOT_FOUND"


class SeatSelectionUnavailable(ServiceError):
    """The event has no seat layout."""

    code = "SEAT_SELECTION_UNAVAILABLE"


class SaleNotOpen(ServiceError):
    code = "SALE_NOT_OPEN"


class SeatLocked(ServiceError):
    """Another request is taking one of the seats at this moment; it may yet fail."""

    code = "SEAT_LOCKED"
    retry_after = 1


class SeatAlreadyReserved(ServiceError):
    code = "SEAT_ALREADY_RESERVED"


class TicketsSoldOut(ServiceError):
    code = "TICKETS_SOLD_OUT"


class LimitExceeded(ServiceError):
    """More live tickets and seats of one event than one buyer may have."""

    code = "LIMIT_EXCEEDED"


class QueueRequired(ServiceError):
    """The buyer is not inside the waiting room; `details` say where they stand."""

    code = "QUEUE_REQUIRED"


class RateLimited(ServiceError):
    """A person who sends too much."""

    code = "RATE_LIMITED"
    retry_after = 1


class TooManyRooms(ServiceError):
    """A socket that wants to hear of more events than a person can follow."""

    code = "LIMIT_EXCEEDED"
    message = "TOO_MANY_ROOMS"


class TooManySockets(ServiceError):
    """A socket of a person who has as many as they may have."""

    code = "LIMIT_EXCEEDED"
    message = "TOO_MANY_SOCKETS"


class NotInRoom(InvalidInput):
    """Only those who choose seats of an event may say what they choose."""

    message = "NOT_IN_ROOM"


class ReservationExpired(ServiceError):
    code = "RESERVATION_EXPIRED"


class RefundDue(ReservationExpired):
    """A payment for what is someone else's by now; `details` say what to give back."""


class PaymentReused(InvalidInput):
    """This payment was for another reservation."""

    message = "PAYMENT_REUSED"


class AlreadyCancelled(ServiceError):
    code = "ALREADY_CANCELLED"


class CancellationClosed(ServiceError):
    """The event has begun."""

    code = "CANCELLATION_CLOSED"


class ServiceUnavailable(ServiceError):
    """A dependency is gone or slow, or all its connections are busy. Nothing was changed, or —
    where the connection broke during the commit — it is not known; an Idempotency-Key tells."""

    code = "SERVICE_UNAVAILABLE"
    retry_after = 1


class QueueUnavailable(ServiceUnavailable):
    """There is no waiting room without Redis, which did not answer just now."""

    code = "QUEUE_UNAVAILABLE"


class QueueAway(QueueUnavailable):
    """Redis has been away for a while."""

    retry_after = 5
