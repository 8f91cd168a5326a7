"""The shape of the code: which module may import which, and how long things may be.

A *room* is a package of ticket_service or one of its top-level modules. What imports nothing of
ours stands on the first floor; everything else one floor above the highest that it imports.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from dev.workspace import ROOT

PACKAGE = "ticket_service"

MAX_FLOORS = 9
MAX_TOP_LEVEL_MODULES = 8
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 300

FLOORS = [
    {"app"},
    {"blueprints"},
    {"wiring"},
    {"background"},
    {"audit", "sockets"},
    {"server", "services"},
    {"http", "realtime"},
    {"stores"},
    {"config", "errors", "libraries", "messages", "metrics"},
]
"""The rooms, the highest first. A room may import those on lower floors, and no others."""

FILES = [
    *(
        path
        for folder in (PACKAGE, "dev", "bench", "chaos", "soak")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
    ROOT / "wsgi.py",
    ROOT / "gunicorn.conf.py",
]

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """The modules of the service by name; a package is its `__init__`."""
    found = {}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that are imported anywhere in the tree, also in functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            module = str(node.module)
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield name if name in MODULES else module


ARROWS: Graph = {
    name: set(imported(ast.parse(path.read_text()))) - {name} for name, path in MODULES.items()
}
"""By module: those that it imports."""


def room(module: str) -> str:
    """The package or top-level module that it belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def rooms() -> Graph:
    """By room: the other rooms that it imports."""
    arrows: Graph = {room(module): set() for module in MODULES}
    for module, targets in ARROWS.items():
        arrows[room(module)] |= {room(target) for target in targets} - {room(module)}
    return arrows


def floors(arrows: Graph) -> dict[str, int]:
    """The floor of each; raises CycleError where there is a circle."""
    found: dict[str, int] = {}
    for name in TopologicalSorter(arrows).static_order():
        found[name] = 1 + max((found[below] for below in arrows[name]), default=0)
    return found


SHARED = {f"{PACKAGE}.services.after_write"}
"""What services are built from, though wiring builds it."""


def services() -> set[str]:
    """The services: where `wiring` gets a class from that is neither mere data nor shared."""
    tree = ast.parse(MODULES[f"{PACKAGE}.wiring"].read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            f"{PACKAGE}.services"
        ):
            names = {alias.name for alias in node.names} & classes(str(node.module))
            found |= {str(node.module)} if names else set()
    return found - SHARED


def classes(module: str) -> set[str]:
    """The classes of a module that are not dataclasses."""
    return {
        node.name
        for node in ast.parse(MODULES[module].read_text()).body
        if isinstance(node, ast.ClassDef) and "dataclass" not in map(_name, node.decorator_list)
    }


def _name(decorator: ast.expr) -> str:
    return ast.unparse(decorator).partition("(")[0]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("arrows", [ARROWS, rooms()], ids=["modules", "rooms"])
def test_imports_have_no_circle(arrows: Graph):
    try:
        floors(arrows)
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_house_has_few_floors():
    found = floors(rooms())
    assert max(found.values()) <= MAX_FLOORS, sorted(found.items(), key=lambda one: -one[1])


def test_nothing_imports_upward():
    depth = {name: number for number, names in enumerate(FLOORS) for name in names}
    upward = [
        f"{above} → {below}"
        for above, targets in rooms().items()
        for below in targets - {PACKAGE}
        if depth[above] >= depth[below]
    ]
    assert upward == []


def test_every_room_has_its_floor():
    assert set(rooms()) - {PACKAGE} == set().union(*FLOORS)


def test_there_are_few_modules_on_the_top_level():
    top = {path.stem for path in (ROOT / PACKAGE).glob("*.py")} - {"__init__"}
    assert len(top) <= MAX_TOP_LEVEL_MODULES, sorted(top)


def test_importing_a_service_imports_no_other():
    """A service hands its needs to others in its constructor; what several share is a helper."""
    found = services()
    assert found
    others = {name: _reached(name) & found - {name} for name in sorted(found)}
    assert {name: sorted(names) for name, names in others.items() if names} == {}


def _reached(module: str) -> set[str]:
    """All that importing it imports, directly or not."""
    reached, left = set[str](), {module}
    while left:
        name = left.pop()
        reached.add(name)
        left |= ARROWS[name] - reached
    return reached


def test_functions_fit_a_screen():
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {lines} lines"
        for path in FILES
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_files_are_one_idea():
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in FILES}
    assert {str(path): count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_documents_name_files_that_exist():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"[\w/.-]+\.(?:py|sql|lua|md)\b", page.read_text())
    }
    assert named
    folders = [ROOT, ROOT / PACKAGE, ROOT / "docs", ROOT / "tests", *(ROOT / PACKAGE).iterdir()]
    missing = {
        f"{page}: {name}" for page, name in named if not any((f / name).exists() for f in folders)
    }
    assert missing == set()
