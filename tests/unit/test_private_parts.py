"""Private parts of libraries: all that we use are listed, and a changed one is noticed."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import engineio.server
import engineio.socket
import pytest
from gunicorn.http.unreader import SocketUnreader

from dev.workspace import ROOT
from ticket_service.libraries import private_parts
from ticket_service.libraries.private_parts import LIBRARIES, LibraryChanged

PACKAGE = ROOT / "ticket_service"
MODULE = Path(private_parts.__file__)

WATCHED = (
    "engineio",
    "socketio",
    "gunicorn",
    "flask_smorest",
    "flask_jwt_extended",
    "flask_socketio",
)


def test_what_is_installed_is_what_was_read():
    private_parts.check()


def test_the_versions_that_were_read_are_those_that_are_pinned():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for library in LIBRARIES:
        assert f"\n{library.package}=={library.version} " in pins


def change(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def other(self: Any, environ: Any, transport: Any) -> None: ...

    def same(self, environ, start_response, transport, jsonp_index=None): ...

    def init(self: Any, sock: Any, max_chunk: int = 8192) -> None: ...

    match what:
        case "gone":
            monkeypatch.delattr(engineio.server.Server, "_handle_connect")
        case "parameters":
            monkeypatch.setattr(engineio.server.Server, "_handle_connect", other)
        case "uses":
            monkeypatch.setattr(engineio.server.Server, "_handle_connect", same)
        case "class":
            monkeypatch.delattr(engineio.server, "Server")
        case "attribute":
            monkeypatch.setattr(SocketUnreader, "__init__", init)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("gone", "engineio.server:Server._handle_connect does not exist"),
        ("parameters", "has the parameters (self environ transport), not (self environ start_res"),
        ("uses", "engineio.server:Server._handle_connect does not use Socket"),
        ("class", "engineio.server:Server._handle_connect does not exist"),
        ("attribute", "gunicorn.http.unreader:SocketUnreader.sock does not exist"),
    ],
)
def test_a_part_that_changed_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, what: str, line: str
):
    change(monkeypatch, what)
    with pytest.raises(LibraryChanged) as failure:
        private_parts.check()
    message = str(failure.value)
    assert line in message
    assert "\n" not in message
    package = "gunicorn 27.0.1" if what == "attribute" else "python-engineio 4.15.1"
    assert message.startswith(f"{package}: ")
    assert "requirements.txt" in message


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted([*PACKAGE.rglob("*.py"), ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]):
        if path != MODULE:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def root(node: ast.expr) -> str | None:
    """The first name of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def test_only_one_module_reaches_into_libraries():
    """No module but one reads or sets a private attribute of anything but `self` or `cls`, names
    Engine.IO's server (`.eio`), sets an attribute of anything that it imported, imports a private
    name, or asks for one by `getattr`.

    It sees what is written down. It does not see a private name that is put together at run time,
    or one of a library's that a subclass reaches through `self`; for those see the next test.
    """
    faults = []
    for path, tree in trees():
        imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                own = root(node.value) in ("self", "cls") and isinstance(node.value, ast.Name)
                of_super = ast.unparse(node.value) == "super()"  # the next test looks at it
                stored = isinstance(node.ctx, ast.Store) and root(node.value) in imported
                fault = (private and not own and not of_super) or node.attr == "eio" or stored
            elif isinstance(node, ast.ImportFrom):
                fault = any(alias.name.startswith("_") for alias in node.names)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                fault = node.func.id in ("getattr", "setattr") and any(
                    str(word).startswith("_") for word in words
                )
            else:
                continue
            if fault:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert faults == []


def subclasses() -> Iterator[tuple[type, ast.ClassDef]]:
    """Our classes that have one of a library's above them, with their source."""
    for path, tree in trees():
        if path.parent == ROOT:
            continue
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                cls = vars(module)[node.name]
                if any(is_watched(base) for base in cls.__mro__):
                    yield cls, node


def is_watched(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in WATCHED


def words(cls: type) -> set[str]:
    """The attributes that a class has by itself, or that its `__init__` sets."""
    init = vars(cls).get("__init__")
    return set(vars(cls)) | set(init.__code__.co_names if inspect.isfunction(init) else ())


def test_what_subclasses_use_of_their_libraries_is_listed():
    """Of a class above ours, each name that ours defines too, or takes from `self`, is listed."""
    listed = {part.path.partition(":")[2] for library in LIBRARIES for part in library.parts}
    found, faults = 0, []
    for cls, node in subclasses():
        foreign = [base for base in cls.__mro__ if is_watched(base)]
        theirs = set().union(*map(words, foreign))
        taken = {
            part.attr
            for part in ast.walk(node)
            if isinstance(part, ast.Attribute)
            and isinstance(part.value, ast.Name)
            and part.value.id == "self"
        }
        names = {
            name
            for name in (taken | set(vars(cls))) & theirs
            if name == "__init__" or not name.startswith("__")
        }
        found += len(names)
        bases = {base.__name__ for base in foreign}
        faults += [
            f"{cls.__module__}.{cls.__name__}.{name}"
            for name in names
            if not any(f"{base}.{name}" in listed for base in bases)
        ]
    assert found > 30
    assert sorted(faults) == []
