"""Buyers, who begin at a steady rate however long the answers take.

A buyer looks at the event and the waiting room, takes a seat or a ticket, and pays, cancels, or
goes away, so that the hold expires. When more than PAID_KEPT have paid, the first of them cancels:
the payment is refunded, and the seat is sold again. So the sale never ends.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from bench.data import Item
from bench.rows import bearer, get_request, hold_seat, hold_ticket, new_token, post_request
from soak.client import Client, Lost, Record, Wrong

AT_ONCE = 64
"""Buyers who may be on their way at once. If there are more, they begin later."""

PAID_KEPT = 1_000
"""Paid reservations that are not cancelled yet."""

EXPIRED = 409
"""The answer to those who cancel too late, as when all processes were stopped for a while."""

STANDING = 0.25
"""The part of buyers who buy a ticket and no seat."""

OUTCOMES = {"paid": 0.6, "cancelled": 0.2, "left to expire": 0.2}
"""How a purchase ends, and how often."""


class Buyers:
    """People who buy one after the other. Every one is new, and takes what is free for longest."""

    def __init__(
        self,
        port: int,
        record: Record,
        seats: Iterable[Item],
        ticket_type: Item,
        jwt_secret: str,
        service_token: str,
    ) -> None:
        self._port = port
        self._record = record
        # Mixed, so that the instance has cached the maps of all events within the warm-up.
        self._seats = deque(random.sample(found := list(seats), len(found)))
        self._ticket_type = ticket_type
        self._jwt_secret = jwt_secret
        self._service = f"X-Internal-Token: {service_token}"
        self._paid: deque[tuple[Item, str, str]] = deque()
        """What was bought, the reservation and the token of its buyer."""
        self._mine = threading.local()
        self._places = threading.Semaphore(AT_ONCE)
        self.late = 0
        """Buyers who had to wait for others before they could begin."""

    def run(self, rate: float, end: float) -> None:
        """Let so many begin a second until `end` (`time.monotonic()`)."""
        due = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while (now := time.monotonic()) < end:
                if now < due:
                    time.sleep(due - now)
                # After a stop of all processes nobody makes up for it.
                due = max(due, now - 1) + 1 / rate
                if not self._places.acquire(blocking=False):
                    self.late += 1
                    self._places.acquire()
                pool.submit(self._visit)

    def _visit(self) -> None:
        try:
            client = self._client()
            self._buy(client)
            if len(self._paid) > PAID_KEPT:
                self._return(client)
        except (Lost, Wrong):
            pass  # they are counted, and what such a buyer took is not sold again
        finally:
            self._places.release()

    def _client(self) -> Client:
        if not hasattr(self._mine, "client"):
            self._mine.client = Client(self._port, self._record)
        client: Client = self._mine.client
        return client

    def _buy(self, client: Client) -> None:
        token = new_token(self._jwt_secret)
        mine = bearer(token)
        item = self._ticket_type if random.random() < STANDING else self._seats.popleft()
        self._look_around(client, item, mine)
        take = hold_ticket if item is self._ticket_type else hold_seat
        held = client.ask("hold", with_key(take(item, token)), 200, 201)
        reservation: str = json.loads(held.body)["reservation"]["id"]
        [outcome] = random.choices([*OUTCOMES], [*OUTCOMES.values()])
        if outcome == "paid":
            self._report(client, reservation, "completed")
            self._paid.append((item, reservation, token))
        elif outcome == "cancelled":
            path = f"/api/v1/reservations/{reservation}/cancel"
            client.ask("cancel", post_request(path, {}, mine), 200, EXPIRED)
        client.ask("reservation", get_request(f"/api/v1/reservations/{reservation}", mine))
        self._record.did(f"{outcome}")
        if outcome != "paid":
            self._give_back(item)

    def _look_around(self, client: Client, item: Item, mine: str) -> None:
        """What a page asks before its visitor can choose."""
        client.ask("event", get_request(f"/api/v1/events/{item.event_id}"))
        client.ask("check", post_request(f"/api/v1/queue/check/{item.event_id}", {}, mine))
        for _ in range(2):
            client.ask("status", get_request(f"/api/v1/queue/status/{item.event_id}", mine))
        if item is not self._ticket_type:
            path, gzip = f"/api/v1/seats/events/{item.event_id}", "Accept-Encoding: gzip"
            seen = client.ask("seat map", get_request(path, gzip)).header("ETag")
            known = f"If-None-Match: {seen}"
            client.ask("seat map again", get_request(path, gzip, known), 200, 304)

    def _return(self, client: Client) -> None:
        """The one who paid first cancels, and is refunded."""
        item, reservation, token = self._paid.popleft()
        path = f"/api/v1/reservations/{reservation}/cancel"
        client.ask("cancel paid", post_request(path, {}, bearer(token)))
        self._report(client, reservation, "refunded")
        self._record.did("refunded")
        self._give_back(item)

    def _report(self, client: Client, reservation: str, status: str) -> None:
        """What the Payment Service reports."""
        path = f"/api/v1/internal/reservations/{reservation}/payment"
        payment = {"paymentId": f"soak-{reservation}", "status": status, "paymentMethod": "card"}
        client.ask(f"payment {status}", post_request(path, payment, self._service))

    def _give_back(self, item: Item) -> None:
        """Sell it again, after all others: by then a hold of it has expired."""
        if item is not self._ticket_type:
            self._seats.append(item)


def with_key(request: bytes) -> bytes:
    """The request with an `Idempotency-Key`: after a 503, nobody knows whether it was done."""
    head, _, rest = request.partition(b"\r\n")
    return b"\r\n".join([head, f"Idempotency-Key: {uuid.uuid4()}".encode(), rest])
