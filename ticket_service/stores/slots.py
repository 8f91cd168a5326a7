"""Who may use a connection of a pool, and who waits: no group takes all of them.

A *group* is what must not stop others: the transactions of one event, the searches, one buyer's
reads.
"""

from __future__ import annotations

from collections import Counter, deque

from gevent.event import Event


class Slots:
    """Some slots, and a line of greenlets that wait for one.

    A group has at most as many slots as it leaves free: half of them where it is alone, fewer where
    others have some. So a group that is stuck leaves some to the next one, and several that are
    stuck still do. The places in the line are shared in the same way. What belongs to no group
    may have any slot.
    """

    def __init__(self, size: int, places: int) -> None:
        self._free = size
        self._held: Counter[str | None] = Counter()
        self._places = places
        self._lines: dict[str | None, deque[Event]] = {}

    def take(self, group: str | None, timeout: float) -> bool:
        """Take a slot; wait for it `timeout` seconds at most, first come, first served in a group.

        False when none came free, or there is no place in the line.
        """
        if self._may_take(group):
            self._take(group)
            return True
        line = self._lines.get(group, ())
        if not _fair(group, len(line), self._places):
            return False
        turn = Event()
        self._lines.setdefault(group, deque()).append(turn)
        self._places -= 1
        try:
            turn.wait(timeout)
        except BaseException:  # the greenlet was killed
            if turn.is_set():
                self.give_back(group)
            raise
        finally:
            if not turn.is_set():
                self._leave(group, turn)
        return turn.is_set()

    def give_back(self, group: str | None) -> None:
        """Give a slot back that was taken for this group; whoever waits for it gets it now."""
        self._free += 1
        self._held[group] -= 1
        if not self._held[group]:
            del self._held[group]
        while self._serve():
            pass

    def _serve(self) -> bool:
        """Give a slot to the first in line of the first group that may have one."""
        for group in self._lines:
            if self._may_take(group):
                break
        else:
            return False
        line = self._lines.pop(group)
        turn = line.popleft()
        if line:
            self._lines[group] = line  # at the end: groups take turns
        self._places += 1
        self._take(group)
        turn.set()
        return True

    def _leave(self, group: str | None, turn: Event) -> None:
        line = self._lines[group]
        line.remove(turn)
        if not line:
            del self._lines[group]
        self._places += 1

    def _take(self, group: str | None) -> None:
        self._free -= 1
        self._held[group] += 1

    def _may_take(self, group: str | None) -> bool:
        return _fair(group, self._held[group], self._free)


def _fair(group: str | None, has: int, free: int) -> bool:
    """Whether a group that has so many may take one of those that are free."""
    return free > 0 and (group is None or has == 0 or has < free)
