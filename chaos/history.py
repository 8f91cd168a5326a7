"""The history of a run: what people asked and were told, and what the weather did.

Each process writes a file of its own in the folder of the run, one JSON object a line, as soon as
it knows it. All times are seconds since the epoch by the clock of this machine, which all
processes share, so times of different files can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Record:
    """Something that a person asked for and what they were told, or heard without asking."""

    person: str
    """The user id in the token, or the name of an observer."""

    role: str
    """The process: `buyers`, `watchers` and so on."""

    action: str
    """What was asked for, see chaos/people_calls.py; or `heard`, `picture`, `sample`."""

    ask: dict[str, Any]
    """Everything that the question named: event, seats, key, reservation and so on."""

    asked_at: float
    """Just before the first byte was sent. For what was heard: when it was heard."""

    answered_at: float | None = None
    """When the answer was there; None if it never came, so that nobody knows what was done."""

    status: int | None = None
    """The status code; None if there was no answer, or it was not HTTP."""

    answer: Any = None
    """The body of the answer, or the payload of the event that was heard."""

    extra: dict[str, Any] = field(default_factory=dict)
    """What else the checker may want to know."""

    @property
    def lost(self) -> bool:
        """Whether nobody knows if it was done: there was no answer, or a 503 or 500."""
        return self.answered_at is None or (self.status or 0) >= 500


@dataclass(frozen=True)
class Fault:
    """Something that the weather did."""

    name: str
    began_at: float
    ended_at: float
    well_at: float | None = None
    """When all was well again without help; None if that was not measured."""

    loses: str = ""
    """`redis`: Redis lost its memory, or a part of it, between `began_at` and `ended_at`. Only then
    may a waiting room forget who was inside and who came first."""


class Writer:
    """Appends records or faults to a file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        # Line-buffered: a line that was written is not lost with the process.
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lock = Lock()

    def write(self, entry: Record | Fault) -> None:
        """Append one line."""
        line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class History:
    """All that is known of a run, oldest first."""

    records: list[Record] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> History:
        """Read all files of a folder."""
        history = cls()
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if "person" in entry:
                    history.records.append(Record(**entry))
                else:
                    history.faults.append(Fault(**entry))
        history.records.sort(key=lambda record: record.asked_at)
        history.faults.sort(key=lambda fault: fault.began_at)
        return history

    def of(self, *actions: str) -> Iterator[Record]:
        """The records of these actions."""
        return (record for record in self.records if record.action in actions)
