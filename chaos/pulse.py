"""Notices when the machine itself is the fault: when it stood still, or had no time for us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from chaos.history import Fault, Writer

NAME = "machine-stood-still"

BEAT = 0.2
MISSED = 2.0
"""Seconds without a beat that count as standing still."""

FAIR_SHARE = 0.5
"""Where our processes get less of the CPU time that they want, times are allowed to be longer in
proportion."""


class Beat(NamedTuple):
    """One beat, and what our threads had since the one before."""

    at: float
    ran: float
    """Seconds on a CPU."""
    waited: float
    """Seconds in which they were ready to run, and others did."""
    still: bool


class Pulse:
    """The beats so far. Linux counts for each thread how long it ran, and waited to run."""

    def __init__(self, writer: Writer, pids: Callable[[], Sequence[int]]) -> None:
        """`pids`: the processes that matter, at this moment."""
        self._writer = writer
        self._pids = pids
        self._over = Event()
        self._known: dict[Path, tuple[float, float]] = {}
        self._beats: list[Beat] = []
        self._thread = Thread(target=self._beat)

    def slowdown(self, begin: float = 0, end: float = inf) -> float:
        """By which factor times between these moments may be longer: 1 on a machine that is not
        too busy, infinite where it stood still."""
        beats = [beat for beat in self._beats if begin - 1 < beat.at < end + 1]
        if any(beat.still for beat in beats):
            return inf
        wanted = sum(beat.ran + beat.waited for beat in beats)
        share = sum(beat.ran for beat in beats) / wanted if wanted else 1.0
        return max(1.0, FAIR_SHARE / share)

    def start(self) -> None:
        """Begin to beat, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.time()
        while not self._over.wait(BEAT):
            now = time.time()
            still = now - last > MISSED
            if still:
                print(f"the machine stood still for {now - last:.0f} s", flush=True)
                self._writer.write(Fault(NAME, last, now, now))
            self._beats.append(Beat(now, *self._used(), still))
            last = now

    def _used(self) -> tuple[float, float]:
        """How long all threads ran and waited since the last call."""
        ran = waited = 0.0
        for pid in self._pids():
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with suppress(OSError):  # the thread has ended
                    run, wait, _ = (int(word) / 1e9 for word in path.read_text().split())
                    before = self._known.get(path, (run, wait))
                    self._known[path] = run, wait
                    ran, waited = ran + run - before[0], waited + wait - before[1]
        return ran, waited


@contextmanager
def pulse(writer: Writer, pids: Callable[[], Sequence[int]]) -> Iterator[Pulse]:
    """Feel the pulse until the block ends. Each time that we stood still is written as a fault."""
    felt = Pulse(writer, pids)
    felt.start()
    try:
        yield felt
    finally:
        felt.stop()


def be_quiet(seconds: float) -> None:
    """Sleep for so long without the machine standing still."""
    began = last = time.time()
    while last - began < seconds:
        time.sleep(BEAT)
        now = time.time()
        began = now if now - last > MISSED else began
        last = now
