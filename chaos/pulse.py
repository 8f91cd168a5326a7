"""Notices that the whole machine stood still, as when it was suspended or is overloaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from chaos.history import Fault, Writer

NAME = "machine-stood-still"

BEAT = 0.2
MISSED = 2.0
"""Seconds without a beat that count."""


@contextmanager
def pulse(writer: Writer) -> Iterator[None]:
    """Write each time in which we did not run ourselves as a fault, until the block ends."""
    over = Event()
    thread = Thread(target=_beat, args=(writer, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(writer: Writer, over: Event) -> None:
    last = time.time()
    while not over.wait(BEAT):
        now = time.time()
        if now - last > MISSED:
            print(f"the machine stood still for {now - last:.0f} s", flush=True)
            writer.write(Fault(NAME, last, now, now))
        last = now


def be_quiet(seconds: float) -> None:
    """Sleep for so long without the machine standing still."""
    began = last = time.time()
    while last - began < seconds:
        time.sleep(BEAT)
        now = time.time()
        began = now if now - last > MISSED else began
        last = now
