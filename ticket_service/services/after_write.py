"""What follows a write to an event's inventory: kept answers become stale, and people are told."""

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
    """The seats whose status is another now."""
    status: str = "available"
    """That of these seats."""
    stock: bool = False
    """Whether the stock of a ticket type is another now."""
    leaving: Collection[str] = ()
    """The people whose stay in the waiting room it ends: they paid, or their holds ran out."""


@contextmanager
def finishing(finish: Callable[[bool], None]) -> Iterator[None]:
    """Around a write: in the end `finish` learns whether something may have changed.

    Nothing has where the write was refused. A connection that broke may have committed.
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
    """Makes kept answers stale, and tells people; both after the commit, and without raising: what
    is committed stays so, whoever hears of it."""

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
        """Around a write: it makes every kept answer about this event stale, unless refused.

        Nothing is kept about the event of a reservation that outlived it, which is None.
        """

        def finish(changed: bool) -> None:
            if changed and event_id is not None:
                self.make_stale(event_id)

        return finishing(finish)

    def make_stale(self, event_id: str) -> None:
        """Make every kept answer about this event stale."""
        self._versions.change(event_id)

    def tell(self, event_id: str | None, change: Change) -> None:
        """Tell those who look at the event, if there still is one; call after `changing`."""
        if event_id is None:
            return
        self._announcer.inventory_changed(
            event_id, change.seat_ids, change.status, stock=change.stock
        )
        if change.leaving:
            self._end_stays(event_id, change.leaving)
