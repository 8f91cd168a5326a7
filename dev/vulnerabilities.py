"""Look for known vulnerabilities of the pinned versions: `python -m dev.vulnerabilities`.

pip-audit does it, in an environment that is thrown away, since the service does not need it. The
exit status is 1 if one is found. Where no index of vulnerabilities can be reached, one line says so
and the exit status is 0: an index that is away says nothing about the code.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dev.workspace import ROOT

AUDITED = ROOT / "requirements-dev.txt"
"""It has all that requirements.txt has."""

TOOL = ROOT / "requirements-audit.txt"

SECONDS = 60
"""How long the installation and the audit may take, each."""


def main() -> None:
    """Audit, print the result and exit."""
    with tempfile.TemporaryDirectory(prefix="ticket-audit-") as folder:
        report = _audit(Path(folder))
    lines, status = conclude(report)
    print(*lines, sep="\n")
    sys.exit(status)


def conclude(report: Sequence[dict[str, Any]] | None) -> tuple[list[str], int]:
    """What to print of pip-audit's list of packages, and the exit status. None: there is none."""
    audited = [package for package in report or () if "vulns" in package]
    if not audited:
        return ["Vulnerabilities: no index can be reached, nothing was audited."], 0
    found = [
        f"VULNERABLE {package['name']} {package['version']}: {known['id']}, mended in"
        f" {', '.join(known['fix_versions']) or 'no version yet'}"
        for package in audited
        for known in package["vulns"]
    ]
    left = len(report or ()) - len(audited)
    lines = [f"Vulnerabilities: {len(found)} known of {len(audited)} packages; {left} not audited."]
    return [*lines, *found], int(bool(found))


def _audit(folder: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package, or None if it cannot be installed or says nothing."""
    python, report = str(folder / "bin" / "python"), folder / "report.json"
    venv.create(folder, with_pip=False)
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    install += ["--require-hashes", "--requirement", str(TOOL)]
    audit = [python, "-m", "pip_audit", "--format=json", "--output", str(report)]
    audit += ["--progress-spinner=off", "--timeout=10"]
    audit += ["--disable-pip", "--require-hashes", "--requirement", str(AUDITED)]
    try:
        subprocess.run(install, check=True, timeout=SECONDS, stderr=subprocess.DEVNULL)
        subprocess.run(audit, timeout=SECONDS, stderr=subprocess.DEVNULL)
        packages: list[dict[str, Any]] = json.loads(report.read_bytes())["dependencies"]
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return packages


if __name__ == "__main__":
    main()
