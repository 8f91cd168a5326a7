"""An event whose holds are ended separately from those of others, and when it has its turn."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

FIRST_PAUSE = 0.25
MAX_PAUSE = 4.0
"""Seconds between two rounds. The pause grows while no hold of the event can be ended."""

FIRST_WAIT_MS = 100
MAX_WAIT_MS = 300
"""How long to wait for the row of a ticket type. Buyers lock it for a millisecond each, other
programs perhaps for long. The wait is short at first, so that many locked rows are passed quickly;
it grows like the pause."""

MAX_MISSED = 1_000
"""Locked seats after which a round ends. The holds behind them must wait for the next one."""

FAILURES_TO_LOG = 3

log = logging.getLogger(__name__)


class DeferredEvent:
    """One such event.

    A *round* goes through the holds that are due, one batch a turn. First it waits for the row of
    each ticket type that was locked, then it ends the other holds without waiting. It skips holds
    that need a *missed* row, which is one that others have locked.
    """

    def __init__(self, event_id: str, missed_types: Iterable[str] = ()) -> None:
        self.event_id = event_id
        self.since = self.next_at = time.monotonic()
        self.busy = False
        """Whether a greenlet is working on it."""
        self.over = False
        """Whether a whole round missed nothing, so that the event need not be deferred any more."""
        self.failures = 0
        """Rounds in a row that ended no hold."""
        self.ticket_type_id: str | None
        """The ticket type to wait for in this turn, if any."""
        self._types = set(missed_types)
        self._begin_round()

    @property
    def wait_ms(self) -> int:
        """How long to wait for the ticket type, in milliseconds."""
        return min(FIRST_WAIT_MS << self.failures, MAX_WAIT_MS)

    @property
    def missed(self) -> list[str]:
        """The rows that others are known to have locked."""
        return sorted(self._seats | (self._types - {self.ticket_type_id}))

    def note(self, ended: int, seats: Iterable[str], types: Iterable[str], *, more: bool) -> None:
        """Note what a turn did.

        Args:
            ended: how many holds it ended.
            seats: the seats that it missed.
            types: the ticket types that it missed.
            more: whether there may be more holds for the same kind of turn.
        """
        self._ended += ended
        self._seats.update(seats)
        new = sorted(set(types) - self._types)
        self._types.update(new)
        more = more and len(self._seats) < MAX_MISSED
        if self.ticket_type_id is None:
            self._looked = not more and not new
        elif more:
            self._to_wait_for.append(self.ticket_type_id)
        else:
            self._types.discard(self.ticket_type_id)
        self._to_wait_for += new
        self._go_on()

    def note_locked(self) -> None:
        """Note that the wait for the ticket type timed out, or that a whole table is locked."""
        if self.ticket_type_id is None:
            self._end_round(over=False)
        else:
            self._go_on()

    def note_failure(self) -> None:
        """Note that a turn failed for another reason."""
        self._end_round(over=False)

    def _go_on(self) -> None:
        if self._looked and not self._to_wait_for:
            self._end_round(over=not self._seats and not self._types)
        else:
            self._take_step()
            self.next_at = time.monotonic()  # after the events that are waiting already

    def _end_round(self, *, over: bool) -> None:
        self.over = over
        self.failures = 0 if self._ended else min(self.failures + 1, 10)
        self.next_at = time.monotonic() + min(FIRST_PAUSE * 2**self.failures, MAX_PAUSE)
        if self.failures == FAILURES_TO_LOG:
            some = self.missed[:10]
            log.warning("holds wait for rows", extra={"event_id": self.event_id, "rows": some})
        self._begin_round()

    def _begin_round(self) -> None:
        self._ended = 0
        self._seats: set[str] = set()
        self._to_wait_for = sorted(self._types)
        self._looked = False
        """Whether this round has ended the holds that need none of the missed rows."""
        self._take_step()

    def _take_step(self) -> None:
        self.ticket_type_id = self._to_wait_for.pop() if self._to_wait_for else None
