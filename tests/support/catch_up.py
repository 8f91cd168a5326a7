"""Changes to an event while browsers watch it."""

from tests.support.buyers import token_for


def hold(service, event, seat, token):
    body = {"eventId": event.id, "seatIds": [event.seat_ids[seat]]}
    return service.post("/seats/reserve", token=token, json=body)


def hold_ticket(service, event):
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    body = {"eventId": event.id, "items": items}
    assert service.post("/reservations", token=token_for(), json=body).status == 201


def cancel(service, held, token):
    made = held.json()["reservation"]["id"]
    assert service.post(f"/reservations/{made}/cancel", token=token).status == 200


def taken(database, event):
    """Return the seats that are not available, by the database."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, status FROM seats WHERE event_id = %s AND status <> 'available'",
            [event.id],
        )
        return dict(cursor.fetchall())
