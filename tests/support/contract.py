"""Parses docs/contract.md."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from dev.workspace import ROOT

Row = list[str]
Table = dict[str, Row]
"""The other cells of each row, by the name in its first cell."""

CALL = re.compile(r"(GET|POST|PUT) (/\S+)")


class Section(NamedTuple):
    """The text below one heading, up to the next one."""

    title: str
    chapter: str
    """The `##` heading that it is under."""
    text: str

    def tables(self) -> list[tuple[str, Table]]:
        """Return its tables, each with the heading of its first column."""
        blocks = re.findall(r"(?:^\|.*\n)+", self.text, re.MULTILINE)
        return [_table(block) for block in blocks]

    def table(self, first: str) -> Table:
        """Return the table whose first column has this heading, or an empty one."""
        return {
            name: cells
            for head, table in self.tables()
            if head == first
            for name, cells in table.items()
        }

    def blocks(self, language: str) -> list[str]:
        """Return its blocks of code in this language."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def codes(self) -> set[str]:
        """Return the error codes after "Errors:"."""
        line = re.findall(r"^Errors: (.*(?:\n.+)*)", self.text, re.MULTILINE)
        return set(re.findall(r"`([A-Z_]+)`", " ".join(line)))


def sections() -> list[Section]:
    """Return all sections of the page."""
    return list(_sections((ROOT / "docs" / "contract.md").read_text() + "\n"))


def section(title: str) -> Section:
    """Return the section with this heading."""
    [found] = [part for part in sections() if part.title == title]
    return found


def of_chapter(chapter: str) -> dict[str, Section]:
    """Return the sections of a chapter whose headings are names, by these names."""
    return {
        part.title.strip("`"): part
        for part in sections()
        if part.chapter == chapter and part.title.startswith("`")
    }


def calls() -> list[tuple[str, str, Section]]:
    """Return method, path and section of each call."""
    return [(*match.groups(), part) for part in sections() if (match := CALL.fullmatch(part.title))]


def request_body(block: str) -> Any:
    """Return the body of an example request, or None."""
    _, _, body = block.partition("\n\n")
    return json.loads(body) if body else None


def _sections(page: str) -> Iterator[Section]:
    chapter = ""
    parts = re.split(r"^(##+) (.*)\n", page, flags=re.MULTILINE)
    for level, title, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if level == "##":
            chapter = title
        yield Section(title, chapter, text)


def _table(block: str) -> tuple[str, Table]:
    head, _, *rows = (
        [cell.strip() for cell in row.strip().strip("|").split("|")] for row in block.splitlines()
    )
    table = {row[0].strip("`"): row[1:] for row in rows}
    assert len(table) == len(rows), f"a row twice below {head}"
    return head[0], table
