"""Shares the connections of a pool fairly: no group can take all of them.

A *group* is work that must not block the rest: the transactions of one event, the searches, or one
buyer's reads.
"""

from __future__ import annotations

from collections import Counter, deque

from gevent.event import Event


class Slots:
    """A semaphore of `size` slots, with a line of at most `places` waiting greenlets.

    A group has at most as many slots as it leaves free: half of them if it is alone, fewer if
    others have some. So even several stuck groups leave slots to the next one. The places in the
    line are shared in the same way. The group None has no such limit.
    """

    def __init__(self, size: int, places: int) -> None:
        self._free = size
        self._held: Counter[str | None] = Counter()
        self._places = places
        self._lines: dict[str | None, deque[Event]] = {}

    def take(self, group: str | None, timeout: float) -> bool:
        """Take a slot, and wait up to `timeout` seconds for it, in order of arrival in a group.

        Returns False if none came free in time, or the group may have no further place in the
        line.
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
        """Give back a slot that was taken for this group, and serve the line."""
        self._free += 1
        self._held[group] -= 1
        if not self._held[group]:
            del self._held[group]
        while self._serve():
            pass

    def _serve(self) -> bool:
        """Give a slot to the first in line of the first group that may have one. Returns whether
        there was such a group."""
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
    """Whether a group that has `has` slots or places may take one of the `free` ones."""
    return free > 0 and (group is None or has == 0 or has < free)
