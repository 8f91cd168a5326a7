"""Starts and stops the processes of people."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from chaos.people import ROLES
from chaos.target import FILE
from dev.processes import running, wait_for_end

OBSERVERS = ("watchers", "sampler")
"""Those who only look. They stay when the others have gone."""

LAST_WORDS = 30.0
"""Seconds in which people end what they are doing."""


class Gone(Exception):
    """A process of people ended by itself, or did not end when it was told to."""


@dataclass
class People:
    """The processes by role."""

    processes: dict[str, psutil.Popen]

    def stop(self, roles: Sequence[str]) -> None:
        """Tell these to end, and wait until they have. Raises Gone."""
        for role in roles:
            if self.processes[role].poll() is not None:
                raise Gone(f"the {role} ended too early: see their log")
            self.processes[role].terminate()
        for role in roles:
            process = self.processes.pop(role)
            if not wait_for_end(process, LAST_WORDS) or process.returncode != 0:
                raise Gone(f"the {role} did not end well: see their log")


@contextmanager
def people(folder: Path, seed: int, roles: Sequence[str] = ROLES) -> Iterator[People]:
    """Run people of these roles until the block ends; each role writes `<role>.jsonl`."""
    with ExitStack() as stack:
        processes = {}
        for number, role in enumerate(roles):
            out = folder / f"{role}.jsonl"
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "chaos.people",
                role,
                "--target",
                folder / FILE,
            ]
            command += ["--seed", str(seed * len(ROLES) + number), "--out", out]
            pid_file, log = out.with_suffix(".pid"), out.with_suffix(".log")
            processes[role] = stack.enter_context(running(pid_file, command, log=log))
        yield People(processes)
