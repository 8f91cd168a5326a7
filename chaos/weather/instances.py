"""What happens to the processes of the service."""

import signal
import time
from pathlib import Path
from random import Random

import psutil

from chaos.scene import Scene
from chaos.waits import wait_for

CLOCK = Path(__file__).parents[1] / "clock"
"""The folder of the wrong clock."""

FROZEN_SECONDS = 12.0
"""Longer than every time-out of a request and than a seat's lock in Redis (10 s each)."""


def killed(scene: Scene, dice: Random) -> None:
    """SIGKILL an instance in the middle of its requests. A second later there is a new one."""
    instance = dice.choice(scene.instances)
    instance.kill()
    time.sleep(1)
    instance.start()


def worker_killed(scene: Scene, dice: Random) -> None:
    """SIGKILL only the worker, as the kernel does for lack of memory: gunicorn starts another."""
    service = dice.choice(scene.instances).service
    [worker] = service.process.children()
    worker.kill()
    wait_for(lambda: _workers(service.process) not in ([], [worker]))


def frozen(scene: Scene, dice: Random) -> None:
    """SIGSTOP an instance for longer than everything that it holds lasts, then SIGCONT."""
    instance = dice.choice(scene.instances)
    instance.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    instance.send_signal(signal.SIGCONT)


def rolling_restart(scene: Scene, dice: Random) -> None:
    """Replace all instances, one after the other, as a deploy does."""
    for instance in dice.sample(scene.instances, len(scene.instances)):
        instance.replace()


def clock_off(scene: Scene, dice: Random) -> None:
    """Run one instance with a clock that is 90 s ahead or behind."""
    instance = dice.choice(scene.instances)
    offset = dice.choice((90, -90))
    instance.replace(PYTHONPATH=str(CLOCK), CHAOS_CLOCK_SECONDS=str(offset))
    time.sleep(dice.uniform(5, 8))
    instance.replace()


def _workers(master: psutil.Process) -> list[psutil.Process]:
    return [one for one in master.children() if one.status() != psutil.STATUS_ZOMBIE]
