"""What is installed is what was tested: exact versions with the hashes of their files."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dev.workspace import ROOT

COMPILED = ["requirements.txt", "requirements-dev.txt", "requirements-audit.txt"]


def entries(path: Path) -> list[str]:
    """Each requirement of a file with all that belongs to it, on one line."""
    lines = re.sub(r"\s*\\\n\s*", " ", path.read_text(encoding="utf-8")).splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("name", COMPILED)
def test_every_requirement_has_a_version_and_hashes(name: str):
    found = entries(ROOT / name)
    assert len(found) > 20
    for entry in found:
        assert re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", entry), (
            entry
        )


@pytest.mark.parametrize("name", COMPILED)
def test_every_requirement_that_is_named_is_pinned(name: str):
    named = entries((ROOT / name).with_suffix(".in"))
    pinned = {re.split(r"[=\[]", entry)[0] for entry in entries(ROOT / name)}
    wanted = {re.split(r"\[", entry)[0] for entry in named if not entry.startswith("-r")}
    assert wanted <= pinned


def test_what_the_service_imports_is_what_requirements_name():
    """Neither more nor less: what comes along with another package may leave with it."""
    imported = {"pythonjsonlogger"}  # named by a string, in server/logs.py
    for path in [*(ROOT / "ticket_service").rglob("*.py"), *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    imported -= {*sys.stdlib_module_names, "ticket_service"}
    distributions = packages_distributions()
    needed = {distributions[name][0].lower().replace("_", "-") for name in imported}
    named = {entry.partition("[")[0] for entry in entries(ROOT / "requirements.in")}
    assert named == needed
