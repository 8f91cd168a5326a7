"""The facts about the machine that belong to the numbers."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from bench.rig import Cores, Stores

PACKAGES = ("Flask", "gunicorn", "gevent", "psycopg2-binary", "redis")


def facts(cores: Cores, stores: Stores, database: str) -> list[str]:
    """Processor, who ran on which core, and versions; `database` describes PostgreSQL."""
    where = f"on {_list(cores.ours)}" if stores.pinned else "as given, pinned nowhere by us"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"Machine: {_processor()}, {os.cpu_count()} cores, {platform.system()}"
        f" {platform.release()}; load average {os.getloadavg()[0]:.1f} before the run",
        f"Cores: service and yardstick on {_list(cores.service)}, the generator on"
        f" {_list(cores.ours)}, PostgreSQL and Valkey " + where,
        f"Versions: Python {platform.python_version()}, {packages}, {database}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _list(cores: set[int]) -> str:
    return "core " + ", ".join(map(str, sorted(cores)))
