"""Reads the files in ticket_service/sql, which are the scripts that write.

Each of them also runs in psql:

    psql -1 -v event_ids='{...}' -f ticket_service/sql/settle_events.sql

So a parameter is a psql variable, `:'name'`, with a cast wherever it is used. A statement begins
with a line `-- name: title`. The comment before the first such line is the contract of the file:
what it does, its parameters, its locks in their order, its verdicts, and the rows that the last
statement returns.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "sql"

_NAME_LINE = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

# Strings and comments are matched as a whole, so that nothing in them is taken for a parameter.
_TOKEN = re.compile(r"(?P<string>'[^']*')|(?P<comment>--.*)|:'(?P<parameter>\w+)'|(?P<percent>%)")


def read_statements(name: str) -> dict[str, str]:
    """Return the statements of a file by title, in the notation of `SqlScript`."""
    _, *parts = _NAME_LINE.split((FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return {
        title: _TOKEN.sub(_translate, text).strip().removesuffix(";")
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _translate(token: re.Match[str]) -> str:
    if token["parameter"]:
        return f"%({token['parameter']})s"
    if token["comment"]:
        return ""
    return token[0].replace("%", "%%")
