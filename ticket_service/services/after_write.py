"""What follows a write to an event's inventory: invalidating cached answers, and announcing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from ticket_service.errors import ServiceError, ServiceUnavailable
from ticket_service.realtime.announcer import Announcer
from ticket_service.stores.postgres import NothingWritten
from ticket_service.stores.versions import Versions


class Change(NamedTuple):
    """What a write changed."""

    seat_ids: Collection[str] = ()
    """The seats whose status changed."""
    status: str = "available"
    """The new status of these seats."""
    stock: bool = False
    """Whether the stock of a ticket type changed."""
    leaving: Collection[str] = ()
    """The people whose stay in the waiting room ends, since they paid or cancelled, or their holds
    expired."""


@contextmanager
def finishing(finish: Callable[[bool], None]) -> Iterator[None]:
    """Wrap a write, and then tell `finish` whether something may have changed.

    A write that was refused changed nothing. One whose connection broke may have committed.
    """
    changed = True
    try:
        yield
    except ServiceUnavailable as error:
        changed = not isinstance(error, NothingWritten)
        raise
    except ServiceError:
        changed = False
        raise
    finally:
        finish(changed)


class AfterWrite:
    """Invalidates cached answers, and announces changes.

    Both happen after the commit and do not raise, since the write itself has succeeded.
    """

    def __init__(
        self,
        versions: Versions,
        announcer: Announcer,
        end_stays: Callable[[str, Collection[str]], None],
    ) -> None:
        """`end_stays` ends the stays of people in the waiting room of an event."""
        self._versions = versions
        self._announcer = announcer
        self._end_stays = end_stays

    def changing(self, event_id: str | None) -> AbstractContextManager[None]:
        """Wrap a write. It invalidates the cached answers about this event, unless it was refused.

        `event_id` is None for a reservation whose event was deleted: nothing is cached about it.
        """

        def finish(changed: bool) -> None:
            if changed and event_id is not None:
                self.make_stale(event_id)

        return finishing(finish)

    def make_stale(self, event_id: str) -> None:
        """Invalidate all cached answers about this event."""
        self._versions.change(event_id)

    def tell(self, event_id: str | None, change: Change, *, since: float) -> None:
        """Announce the change to everyone who watches the event. Call it after `changing`.

        `since`: when the transaction was begun (`time.monotonic()`).
        """
        if event_id is None:
            return
        self._announcer.inventory_changed(
            event_id, change.seat_ids, change.status, stock=change.stock, since=since
        )
        if change.leaving:
            self._end_stays(event_id, change.leaving)
