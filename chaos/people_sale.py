"""People who hold seats and tickets, pay for them, cancel them, or let them expire."""

from __future__ import annotations

import time
from datetime import datetime
from threading import Thread
from typing import Any

from chaos.people_calls import Crowd, Person
from chaos.target import Stage

HOT_SEATS = 12
"""Most people want one of so many seats, so that they collide."""

HOT = 0.7
"""How many of the wishes are for those."""

HANG_UP = 0.12
"""How many requests lose their answers because the person hangs up."""

MOST_TICKETS = 6
"""Of a type at once, so that they are soon sold out."""

HOLDS_OF_A_PERSON = 6
"""After so many holds a person leaves and a new one comes."""


class Buyer(Person):
    """A person who buys from one event."""

    def __init__(self, crowd: Crowd, stage: Stage) -> None:
        super().__init__(crowd)
        self.stage = stage

    def hold(self) -> dict[str, Any] | None:
        """Try to hold something. Returns the reservation as it was told, or None if refused.

        A lost answer is asked for again with the same key. Who must wait in line does so first.
        """
        ask, call, body = self._wish()
        ask["key"] = key = self.crowd.new_id()
        while not self.crowd.stopping.is_set():
            hang_up = self.chance.random() < HANG_UP
            told = self.ask_until_told("hold", call, ask, body, key, hang_up=hang_up)
            if told.status == 201:
                reservation: dict[str, Any] = told.answer["reservation"]
                return reservation
            if told.status != 403 or not self.pass_line():
                return None
        return None

    def pass_line(self, polls: int = 40) -> bool:
        """Enter, and wait in line if need be. Returns whether the person is inside."""
        event = {"event": self.stage.event_id}
        told = self.ask("check", f"POST /queue/check/{self.stage.event_id}", event)
        for _ in range(polls):
            status = told.answer["status"] if told.status == 200 else None
            if status in ("active", "not_in_queue") or self.crowd.stopping.is_set():
                return status == "active"
            self.pause_after(told)
            told = self.ask("status", f"GET /queue/status/{self.stage.event_id}", event)
        return False

    def pay(self, reservation_id: str, status: str = "completed", payment: str = "") -> bool:
        """Report a payment until it is told. Returns whether it was accepted.

        A payment that must be refunded is refunded.
        """
        ask = {
            "reservation": reservation_id,
            "payment": payment or self.crowd.new_id(),
            "status": status,
        }
        body = {"paymentId": ask["payment"], "status": status, "paymentMethod": "card"}
        call = f"POST /internal/reservations/{reservation_id}/payment"
        hang_up = self.chance.random() < HANG_UP
        told = self.ask_until_told("pay", call, ask, body, hang_up=hang_up)
        if told.status == 409 and status == "completed":
            self.pay(reservation_id, "refunded", ask["payment"])
        return told.status == 200

    def cancel(self, reservation_id: str) -> bool:
        """Cancel until it is told. Returns whether it was accepted."""
        call = f"POST /reservations/{reservation_id}/cancel"
        hang_up = self.chance.random() < HANG_UP
        ask = {"reservation": reservation_id}
        return self.ask_until_told("cancel", call, ask, hang_up=hang_up).status == 200

    def read(self, reservation_id: str) -> None:
        """Look at a reservation."""
        self.ask("read", f"GET /reservations/{reservation_id}", {"reservation": reservation_id})

    def look_at_stock(self) -> None:
        """Ask how many tickets are left."""
        event = self.stage.event_id
        self.ask("stock", f"GET /tickets/event/{event}", {"event": event})

    def leave(self) -> None:
        """Leave the waiting room, and close the connection."""
        event = self.stage.event_id
        self.ask("leave", f"POST /queue/leave/{event}", {"event": event})
        self.close()

    def _wish(self) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """What to hold: for the history, the call, and its body."""
        event = self.stage.event_id
        if self.stage.seat_ids:
            hot = self.chance.random() < HOT
            wanted = self.stage.seat_ids[:HOT_SEATS] if hot else self.stage.seat_ids
            seats = self.chance.sample(wanted, self.chance.choice([1, 1, 2, 3]))
            body: dict[str, Any] = {"eventId": event, "seatIds": seats}
            return {"event": event, "seats": seats}, "POST /seats/reserve", body
        types = self.stage.ticket_type_ids
        count = self.chance.randint(1, min(2, len(types)))
        items = [
            {"ticketTypeId": type_id, "quantity": self.chance.randint(1, MOST_TICKETS)}
            for type_id in self.chance.sample(types, count)
        ]
        return (
            {"event": event, "items": items},
            "POST /reservations",
            {
                "eventId": event,
                "items": items,
            },
        )


def let_expire(buyer: Buyer, held: dict[str, Any]) -> None:
    """Leave the hold alone, and sometimes look at it."""
    if buyer.chance.random() < 0.3:
        buyer.read(held["id"])


def pay(buyer: Buyer, held: dict[str, Any]) -> None:
    """Pay in time, late, twice, in vain, or while cancelling; then sometimes cancel."""
    way = buyer.chance.random()
    until_end = expires_at(held) - time.time()
    if way < 0.15:
        buyer.crowd.wait(max(0.0, until_end + buyer.chance.uniform(-0.2, 1.0)))
        buyer.pay(held["id"])
        return
    buyer.crowd.wait(buyer.chance.uniform(0.0, max(0.0, until_end) / 2))
    if way < 0.25:
        buyer.pay(held["id"], "failed")
        return
    payment = buyer.crowd.new_id()
    if way < 0.4:
        _pay_while_cancelling(buyer, held["id"])
        return
    paid = buyer.pay(held["id"], payment=payment)
    if way < 0.5:
        buyer.pay(held["id"], payment=payment)
    if paid and buyer.chance.random() < 0.8:
        buyer.crowd.wait(buyer.chance.uniform(0.1, 2.0))
        if buyer.cancel(held["id"]):
            buyer.pay(held["id"], "refunded", payment)


def cancel(buyer: Buyer, held: dict[str, Any]) -> None:
    """Cancel after a moment, sometimes twice."""
    buyer.crowd.wait(buyer.chance.uniform(0.0, 1.0))
    buyer.cancel(held["id"])
    if buyer.chance.random() < 0.2:
        buyer.cancel(held["id"])
    buyer.read(held["id"])


def _pay_while_cancelling(buyer: Buyer, reservation_id: str) -> None:
    """The Payment Service reports a payment while the buyer cancels."""
    service = Buyer(buyer.crowd, buyer.stage)
    service.id = buyer.id
    payment = Thread(target=service.pay, args=(reservation_id,))
    payment.start()
    buyer.cancel(reservation_id)
    payment.join()
    service.close()


def expires_at(held: dict[str, Any]) -> float:
    """When a hold ends, as it was told."""
    return datetime.fromisoformat(held["expiresAt"]).timestamp()


AFTERWARDS = {"buyers": let_expire, "payers": pay, "cancellers": cancel}
"""By role: what its people do with what they hold."""


def trade(crowd: Crowd, stage: Stage) -> None:
    """Buy from this event until the process is told to stop. Run it in a thread of its own."""
    afterwards = AFTERWARDS[crowd.role]
    while not crowd.stopping.is_set():
        buyer = Buyer(crowd, stage)
        for _ in range(HOLDS_OF_A_PERSON):
            if crowd.stopping.is_set():
                break
            if held := buyer.hold():
                afterwards(buyer, held)
            if not stage.seat_ids:
                buyer.look_at_stock()
            crowd.wait(buyer.chance.uniform(0.02, 0.3))
        buyer.leave()
