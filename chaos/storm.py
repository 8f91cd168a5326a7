"""One fault after the other, in an order that the seed decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

from chaos.canary import Canary, Sick
from chaos.history import Fault, Writer
from chaos.scene import Scene
from chaos.weather.kinds import WEATHER

RECOVERY_SECONDS = 10.0
"""How long after the end of a fault all must be well again without help."""

PATIENCE = 180.0
"""How long we wait for that in any case."""


class Doctor:
    """Sends canaries to each instance and to the load balancer."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._canaries: dict[str, Canary] = {}

    def wait_until_well(self) -> tuple[float | None, str]:
        """Wait until canaries of every kind succeed everywhere, twice in a row.

        Returns the time from which on all succeeded, or None if that takes too long, and what went
        wrong last.
        """
        well_at, sick = None, ""
        tries_end_at = time.time() + PATIENCE
        while time.time() < tries_end_at:
            began_at = time.time()
            try:
                self._try_all()
            except Sick as error:
                well_at, sick = None, str(error)
                time.sleep(0.1)
                continue
            if well_at is not None:
                return well_at, sick
            well_at = began_at
        return None, sick

    def _try_all(self) -> None:
        """One of each kind everywhere at the same time. Raises Sick."""
        urls = [self._scene.target.url, *(one.service.url for one in self._scene.instances)]
        for number, url in enumerate(urls):
            if url not in self._canaries:
                seats = self._scene.canary.seat_ids[number :: len(urls)]
                self._canaries[url] = Canary(self._scene, url, seats)
        with ThreadPoolExecutor(len(urls)) as threads:
            list(threads.map(lambda url: self._canaries[url].try_all(), urls))


def order(seed: int, names: Sequence[str]) -> Iterator[str]:
    """The faults: all in a random order, then all in another one, and so on."""
    dice = Random(seed)
    while True:
        yield from dice.sample(names, len(names))


def storm(scene: Scene, writer: Writer, seed: int, seconds: float, names: Sequence[str]) -> None:
    """Make faults for so many seconds, and one at least, and write what happened."""
    doctor = Doctor(scene)
    ends_at = time.monotonic() + seconds
    for number, name in enumerate(order(seed, names)):
        dice = Random(f"{seed} {number}")
        time.sleep(dice.uniform(0.5, 2))
        fault = _make(scene, doctor, name, dice)
        writer.write(fault)
        if fault.well_at is None or time.monotonic() > ends_at:
            break


def _make(scene: Scene, doctor: Doctor, name: str, dice: Random) -> Fault:
    began_at = time.time()
    WEATHER[name].act(scene, dice)
    ended_at = time.time()
    well_at, sick = doctor.wait_until_well()
    after = f"well after {well_at - ended_at:.1f} s" if well_at else "NOT WELL"
    times = f"{time.strftime('%H:%M:%S')}  {name:28}{ended_at - began_at:6.1f} s"
    print(f"{times}  {after}  {sick[:200]}", flush=True)
    return Fault(name, began_at, ended_at, well_at, WEATHER[name].loses)
