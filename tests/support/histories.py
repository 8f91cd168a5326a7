"""Histories that are written by hand, for the tests of the history checker."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from chaos.checks import RULES
from chaos.checks.run import Run, Tables
from chaos.history import Fault, History, Record

BEGAN = 1_800_000_000.0
"""When each story begins. All times in a story are seconds from then."""

HOLD_SECONDS = 5.0

EVENT = "event"


class Story:
    """What happened, step by step. A step takes `took` seconds from `at` on, until it is told."""

    def __init__(self, threshold: int = 2, tickets: int = 10) -> None:
        self.threshold = threshold
        self.records: list[Record] = []
        self.faults: list[Fault] = []
        self.rows: dict[str, dict[str, Any]] = {}
        """The rows of the reservations, by id."""
        self.tables = Tables(at=BEGAN + 100)
        self.tables.ticket_types = [{"id": "standing", "event": EVENT, "total": tickets}]
        self.tables.seats = [
            {"id": seat, "event": EVENT, "status": "available", "updated_at": BEGAN}
            for seat in ("A1", "A2")
        ]

    def ask(
        self,
        person: str,
        action: str,
        at: float,
        ask: dict[str, Any],
        *,
        took: float = 0.1,
        status: int | None = 200,
        answer: Any = None,
        **extra: Any,
    ) -> None:
        """Ask something. Without a status the answer is lost."""
        asked_at = BEGAN + at
        answered_at = None if status is None else asked_at + took
        self.records.append(
            Record(person, "people", action, ask, asked_at, answered_at, status, answer, extra)
        )

    def hold(
        self,
        person: str,
        at: float,
        *seats: str,
        tickets: int = 0,
        key: str = "",
        id: str = "",
        status: int | None = 201,
        **more: Any,
    ) -> str:
        """Hold seats, or tickets of the only type, and write the row. Returns its id."""
        id = id or str(uuid4())
        ask: dict[str, Any] = {"event": EVENT, "key": key or str(uuid4()), "seats": list(seats)}
        items = [{"ticketTypeId": "standing", "quantity": tickets}] if tickets else []
        ask["items"] = items
        expires_at = datetime.fromtimestamp(BEGAN + at + HOLD_SECONDS, UTC).isoformat()
        answer = {"reservation": {"id": id, "expiresAt": expires_at}} if status == 201 else {}
        self.ask(person, "hold", at, ask, status=status, answer=answer, **more)
        if id not in self.rows and status in (201, None):
            self.write(id, person, at, seats, tickets)
        return id

    def write(
        self, id: str, person: str, at: float, seats: tuple[str, ...] = (), tickets: int = 0
    ) -> None:
        """Write the rows of a reservation, as pending."""
        self.rows[id] = {
            "id": id,
            "person": person,
            "event": EVENT,
            "status": "pending",
            "created_at": BEGAN + at,
            "updated_at": BEGAN + at,
        }
        for seat in seats:
            item = {"reservation": id, "seat": seat, "ticket_type": None, "quantity": 1}
            self.tables.items.append(item)
        if tickets:
            item = {"reservation": id, "seat": None, "ticket_type": "standing"}
            self.tables.items.append({**item, "quantity": tickets})

    def cancel(self, person: str, at: float, id: str, **more: Any) -> None:
        """Ask for a cancellation. If it is told, or lost, the row is cancelled."""
        self.ask(person, "cancel", at, {"reservation": id}, **{"answer": {}, **more})
        if more.get("status", 200) in (200, None):
            self.end(id, "cancelled", at)

    def end(self, id: str, status: str, at: float) -> None:
        """Write another status."""
        self.rows[id].update(status=status, updated_at=BEGAN + at)

    def pay(self, at: float, id: str, paid: str = "completed", **more: Any) -> str:
        """Report a payment. If it is told, it is recorded, and if it succeeded, the row is
        confirmed. Returns the id of the payment."""
        payment = str(uuid4())
        ask = {"reservation": id, "payment": payment, "status": paid}
        now = "confirmed" if paid == "completed" else "cancelled"
        answer = {"reservation": {"id": id, "status": now}}
        self.ask("service", "pay", at, ask, **{"answer": answer, **more})
        if more.get("status", 200) == 200:
            self.note(payment, paid, "CONFIRMED")
            self.end(id, now, at)
        return payment

    def note(self, payment: str, status: str, verdict: str) -> None:
        """Record a payment in the tables."""
        self.tables.payments.append({"payment": payment, "status": status, "verdict": verdict})

    def read(self, person: str, at: float, id: str, shown: str, **more: Any) -> None:
        """Look at a reservation, and see it with this status."""
        answer = {"reservation": {"id": id, "status": shown}}
        self.ask(person, "read", at, {"reservation": id}, **{"answer": answer, **more})

    def stock(self, at: float, available: int, **more: Any) -> None:
        """See so many tickets."""
        answer = {"ticketTypes": [{"id": "standing", "available_quantity": available}]}
        self.ask("someone", "stock", at, {"event": EVENT}, answer=answer, **more)

    def visit(self, person: str, at: float, status: str, stay: str = "one", **more: Any) -> None:
        """Ask for one's place, and be told: for the first time by `check`."""
        known = any(one.person == person for one in self.records)
        answer = {"status": status, "stayEndsAt": stay if status == "active" else None}
        action = more.pop("action", "status" if known else "check")
        self.ask(person, action, at, {"event": EVENT}, answer=answer, **more)

    def hear(
        self, at: float, seat: str, status: str = "locked", *, watcher: str = "watcher"
    ) -> None:
        """A watcher hears of a seat."""
        name = "seat-released" if status == "available" else "seat-locked"
        payload = {"seatId": seat, "status": status}
        self.ask(watcher, "heard", at, {}, took=0, answer=payload, name=name)

    def join(self, at: float, *taken: str, watcher: str = "watcher") -> None:
        """A watcher asks for the present state, and these seats are taken."""
        seats = [{"seatId": seat, "status": "locked"} for seat in taken]
        self.ask(watcher, "join", at, {}, answer={"success": True, "seats": seats})

    def picture(self, at: float, *, joined: bool = True, **seats: str) -> None:
        """A watcher's picture in the end."""
        self.ask("watcher", "picture", at, {}, took=0, answer=seats, joined=joined)

    def sample(self, at: float, *inside: str) -> None:
        """The observer reads who is inside."""
        answer = {"at": BEGAN + at, "inside": list(inside)}
        self.ask("sampler", "sample", at, {"event": EVENT}, answer=answer)

    def fault(self, began: float, ended: float, loses: str = "") -> None:
        """The weather does something."""
        self.faults.append(Fault("weather", BEGAN + began, BEGAN + ended, BEGAN + ended, loses))

    def found(self, rule: str) -> list[str]:
        """What this check finds in it."""
        self.tables.reservations = list(self.rows.values())
        self.records.sort(key=lambda one: one.asked_at)
        run = Run(History(self.records, self.faults), self.tables, self.threshold, EVENT)
        violations = list(RULES[rule](run))
        assert {violation.rule for violation in violations} <= {rule}
        return [violation.what for violation in violations]
