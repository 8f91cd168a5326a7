"""A buyer who repeats a request."""

from uuid import uuid4

from tests.support.buyers import token_for
from tests.support.factories import Event
from tests.support.service import Response, Service


class Buyer:
    """A buyer who repeats the same request with the same Idempotency-Key."""

    def __init__(self, service: Service, event: Event, kind: str) -> None:
        self.id = str(uuid4())
        self.key = str(uuid4())
        self._service = service
        self._event = event
        self._kind = kind

    def buy(self, place: int = 0, *, key: str | None = None) -> Response:
        """Hold a seat of the event, or a ticket of one of its types."""
        if self._kind == "seats":
            path = "/seats/reserve"
            order: dict[str, object] = {"seatIds": [self._event.seat_ids[place]]}
        else:
            path = "/reservations"
            type_id = self._event.ticket_type_ids[place]
            order = {"items": [{"ticketTypeId": type_id, "quantity": 1}]}
        return self._service.post(
            path,
            token=token_for(self.id),
            json={"eventId": self._event.id, **order},
            headers={"Idempotency-Key": key or self.key},
        )
