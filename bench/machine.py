"""The facts about the machine that belong to the numbers."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

from bench.rig import Cores, Stores

MEMORY = Path("/dev/shm")
"""A file system in memory."""

MEMORY_NEEDED = 6 * 2**30
"""Bytes that must be free there: the data of the largest run, twice."""

PACKAGES = ("Flask", "gunicorn", "gevent", "psycopg2-binary", "redis")


def facts(cores: Cores, stores: Stores, database: str) -> list[str]:
    """Processor, who ran on which core, and versions; `database` describes PostgreSQL."""
    where = f"on {_list(cores.ours)}" if stores.pinned else "as given, pinned nowhere by us"
    files = "in memory" if data_folder() else "on a disk"
    return [
        f"Machine: {name()}, {platform.system()} {platform.release()};"
        f" load average {os.getloadavg()[0]:.1f} before the run",
        f"Cores: service and yardstick on {_list(cores.service)}, the generator on"
        f" {_list(cores.ours)}, PostgreSQL and Valkey {where};"
        f" the files of servers that were started here are {files}",
        *versions(),
        database,
    ]


def versions() -> list[str]:
    """Python and what the service is made of."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [f"Versions: Python {platform.python_version()}, {packages}"]


def name() -> str:
    """The machine, as far as results depend on it."""
    return f"{_processor()}, {os.cpu_count()} cores"


def data_folder() -> Path | None:
    """Where servers that are started here keep their data; None: in the folder for temporary files.

    In memory if there is room. On a disk, what is measured is that disk: a hold waits for it, and
    the kernel's threads that write take time from the service's core.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED
    return MEMORY if roomy else None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _list(cores: set[int]) -> str:
    return "core " + ", ".join(map(str, sorted(cores)))
