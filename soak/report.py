"""The result of a soak as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from soak.client import Record
from soak.flatness import MIN_SAMPLES, judge, table
from soak.samples import QUANTITIES

MAX_REFUSED = 0.01
"""The part of the requests that may be refused with 503 or get lost: other programs may take the
machine's processors for a moment."""


def conclude(
    samples: Sequence[Mapping[str, float]], record: Record, late: int, audit: bytes
) -> int:
    """Print the result. Returns the exit status: 0 if all is well."""
    judgements = judge(QUANTITIES, samples) if len(samples) >= MIN_SAMPLES else []
    requests = record.answers.total() + record.lost
    refused = record.answers[503]
    print(*table(judgements), sep="\n")
    print(f"{len(samples)} samples after the warm-up")
    print("Purchases and visits:", ", ".join(f"{n:,} {what}" for what, n in record.done.items()))
    print(f"{requests:,} requests: {refused:,} refused with 503, {record.lost:,} lost;", end=" ")
    print(f"{late:,} buyers began late")
    faults = json.loads(audit)["faults"]
    print("Wrong answers:", dict(record.wrong) or "none")
    print("The audit's faults:", faults or "none")
    problems = [judgement.quantity.name for judgement in judgements if not judgement.good]
    if not judgements:
        problems.append("too few samples")
    if record.wrong or faults:
        problems.append("wrong answers, or books that do not balance")
    if refused + record.lost > MAX_REFUSED * requests:
        problems.append("too many requests without an answer")
    print("NOT WELL: " + "; ".join(problems) if problems else "All is well.")
    return int(bool(problems))
