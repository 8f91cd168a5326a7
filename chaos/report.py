"""What a run says at its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

from chaos.history import Fault, History, Record
from chaos.storm import RECOVERY_SECONDS

ANSWER_SECONDS = 10.5
"""An answer comes within 10 s (docs/contract.md, "Time"); half a second more is for the people,
the load balancer and a busy machine."""

HTTP = ("hold", "cancel", "pay", "read", "stock", "check", "status", "heartbeat", "leave")
"""The actions that people ask for over HTTP."""

Slowdown = Callable[[float, float], float]


def table(history: History) -> Iterator[str]:
    """A line for each kind of fault: how often, until when all was well, and what people got."""
    yield f"{'fault':28}{'times':>6}{'lasted':>8}{'well after':>12}  answers meanwhile"
    for name in sorted({fault.name for fault in history.faults}):
        faults = [fault for fault in history.faults if fault.name == name]
        lasted = max(fault.ended_at - fault.began_at for fault in faults)
        after = max(recovery(fault) for fault in faults)
        codes = Counter(code(record) for record in asked_during(history, faults))
        told = ", ".join(f"{key} ×{count}" for key, count in sorted(codes.items()))  # noqa: RUF001
        yield f"{name:28}{len(faults):6}{lasted:8.1f}{after:12.1f}  {told}"


def asked_during(history: History, faults: list[Fault]) -> Iterator[Record]:
    """What people asked over HTTP from the beginning of each fault until all was well, and for a
    second at least."""
    for record in history.records:
        if record.action in HTTP and any(
            fault.began_at <= record.asked_at <= max(fault.well_at or inf, fault.ended_at + 1)
            for fault in faults
        ):
            yield record


def code(record: Record) -> str:
    """The status and, for a refusal, the code; `hung up` and `no answer` where there is none."""
    if record.status is None:
        return "hung up" if record.extra.get("hung_up") else "no answer"
    if record.status < 400:
        return str(record.status)
    return f"{record.status} {record.answer.get('code', '')}"


def recovery(fault: Fault) -> float:
    """Seconds from the end of the fault until all was well."""
    return (fault.well_at or inf) - fault.ended_at


def faults_of(history: History, folder: Path, slowdown: Slowdown) -> list[str]:
    """What went wrong beside the history itself.

    `slowdown`: by which factor times between two moments may be longer, since the machine is busy.
    """
    found = [
        f"{fault.name}: well again only after {recovery(fault):.1f} s"
        for fault in history.faults
        if fault.well_at is None
        or recovery(fault) > RECOVERY_SECONDS * slowdown(fault.ended_at, fault.well_at)
    ]
    for record in history.records:
        if (record.status or 0) >= 500 and record.status != 503:
            found.append(f"an answer {code(record)}: {record}")
        ended_at = record.answered_at or record.extra.get("lost_at", record.asked_at)
        seconds = ended_at - record.asked_at
        if seconds > ANSWER_SECONDS and seconds > ANSWER_SECONDS * slowdown(
            record.asked_at, ended_at
        ):
            found.append(f"an answer after {seconds:.1f} s: {record}")
    found += [f"a bug in the log: {line}" for line in unhandled(folder)]
    return found


def unhandled(folder: Path) -> Iterator[str]:
    """The log lines of errors that nobody expected."""
    for log in sorted(folder.glob("service-*.log")):
        for line in log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # gunicorn's own
            if entry.get("message") == "unhandled":
                yield f"{log.name}: {line[:2000]}"
