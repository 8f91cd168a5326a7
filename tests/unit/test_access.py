"""What is kept for everybody is never what only some may see."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from dev.workspace import ROOT
from tests.support.service import JWT_SECRET
from tests.support.tokens import claims, signed
from ticket_service.blueprints.schemas.events import EventDetail
from ticket_service.http.access import ContradictoryAccess, public_document
from ticket_service.http.auth import TokenManager, admin_only, service_only, signed_in
from ticket_service.http.direct import DirectLane
from ticket_service.http.edge import Edge
from ticket_service.http.parsing import Blueprint
from ticket_service.http.responses import ROUTE, Answer, Read, answer
from ticket_service.http.tokens import TokenVerifier
from ticket_service.stores.documents import Document

IMPORT = "from ticket_service.http.auth import signed_in\n"

GUARDS = [signed_in, admin_only, service_only]

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]


def read() -> Document:
    return Document(b"{}")


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guarded_view_cannot_be_a_public_document(guard: Guard):
    def view(*_: str) -> Read:
        return read

    with pytest.raises(ContradictoryAccess, match="view is for "):
        guard(public_document(view))
    with pytest.raises(ContradictoryAccess):
        public_document(guard(view))


@pytest.mark.parametrize("guard", GUARDS)
def test_nor_where_other_decorators_stand_between(guard: Guard):
    blueprint = Blueprint("test", __name__)

    def view(*_: str) -> Read:
        return read

    described = blueprint.response(200, EventDetail)(public_document(view))
    with pytest.raises(ContradictoryAccess):
        guard(blueprint.doc(security=[])(described))


def test_with_such_a_view_the_application_cannot_be_made(tmp_path: Path):
    """A guard is put in front of a public document, in a copy of the service."""
    shutil.copytree(ROOT / "ticket_service", tmp_path / "ticket_service")
    events = tmp_path / "ticket_service/blueprints/events.py"
    source = events.read_text(encoding="utf-8")
    source = source.replace('@blueprint.route("")\n', '@blueprint.route("")\n@signed_in\n')
    events.write_text(
        source.replace("import public_document\n", "import public_document\n" + IMPORT),
        encoding="utf-8",
    )
    started = subprocess.run(
        [sys.executable, "-c", "from ticket_service.app import create_app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    last = started.stderr.splitlines()[-1]
    assert "ticket_service.blueprints.events.list_events is for everybody alike, and for" in last


def test_nothing_else_marks_an_answer_as_one_to_keep():
    """Only http/access.py sets READ; the edge looks at it."""
    users = {
        path.relative_to(ROOT / "ticket_service").as_posix()
        for path in (ROOT / "ticket_service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "READ" for alias in node.names)
    }
    assert users == {"http/access.py", "http/edge.py"}


@pytest.fixture
def asked() -> list[str]:
    """The views that were called, in order."""
    return []


@pytest.fixture
def client(asked: list[str]) -> Client:
    app = Flask(__name__)
    verifier = TokenVerifier(JWT_SECRET, "HS256")
    TokenManager(app, verifier)
    app.extensions["ticket_service.tokens"] = verifier

    @app.get("/public")
    @public_document
    def public() -> Read:
        asked.append("public")
        return read

    @app.get("/private")
    @signed_in
    def private(user_id: str) -> Answer:
        asked.append("private")
        return answer({"userId": user_id})

    def routed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ[ROUTE] = environ["PATH_INFO"]
        return app.wsgi_app(environ, start_response)

    lane = DirectLane(app)
    return Client(Edge(routed, lane, routed, allowed_origins=(), max_sockets=1, admin_port=None))


def test_the_edge_keeps_public_documents_and_nothing_else(client: Client, asked: list[str]):
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    for _ in range(2):
        for path in ("/public", "/private"):
            # In a context of its own, as a worker's greenlet has: a request leaves its deadline.
            answered = copy_context().run(
                client.get, path, headers=headers, environ_overrides={"RAW_URI": path}
            )
            assert answered.status_code == 200
    assert asked == ["public", "private", "private"]
