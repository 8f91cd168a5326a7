"""The results of a run as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.lines import Lines
from bench.load import CONNECTIONS, Measurement
from bench.results import Figure
from bench.rows import Row

MISSED = "must MISSED"

TIMES_MUST, TIMES_AIM = 2.0, 1.2
"""How many times as long a request may take with the long line as with the short one."""

BYTES_AIM = 300
"""Bytes of Redis' memory for each person in line."""

HEADER = (
    "row",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "ratio to Y",
    "must",
    "aim",
    "verdict",
    "its CPU",
    "other CPU",
)


@dataclass(frozen=True)
class Result:
    """One measurement of one row."""

    row: Row
    measurement: Measurement
    cpu: float
    """How much of its core the measured server used, 0 to 1. If it is well below 1, something else
    was the limit."""
    ratio: float
    """The rate, divided by the yardstick's of the same round."""
    script_us: float
    """Microseconds that Redis itself took for a script; 0 if none ran."""

    @property
    def errors(self) -> Counter[int]:
        """How many answers had a wrong status, by status; with the seller's."""
        sales = self.measurement.sales
        errors = _without(self.measurement.statuses, self.row.status)
        return errors + _without(sales.statuses, 201) if sales else errors

    @property
    def stale(self) -> int:
        """How many reads did not show a sale that was confirmed before they began."""
        return self.measurement.sales.stale if self.measurement.sales else 0


@dataclass(frozen=True)
class Comparison:
    """The requests' time of one row, `these`, compared with another's, `those`."""

    these: Sequence[Result]
    those: Sequence[Result]

    @property
    def times(self) -> float:
        """How many times as long `these` took as `those`."""
        pairs = zip(self.these, self.those, strict=True)
        return median(that.measurement.rate / this.measurement.rate for this, that in pairs)

    @property
    def verdict(self) -> str:
        """Whether that reaches the must or the aim."""
        if self.times <= TIMES_AIM:
            return "aim reached"
        return "must reached" if self.times <= TIMES_MUST else MISSED


def table(rounds: Sequence[Sequence[Result]]) -> list[str]:
    """The medians over the rounds, one line for each row."""
    lines = [HEADER, *(_cells(results) for results in zip(*rounds, strict=True))]
    return columns(lines, {HEADER.index("row"), HEADER.index("verdict")})


def columns(lines: Sequence[Sequence[str]], text: Collection[int]) -> list[str]:
    """Lines of cells, each under the one above: to the left in the columns with `text`, else to the
    right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        " | ".join(
            cell.ljust(width) if column in text else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def remarks(rounds: Sequence[Sequence[Result]], lines: Lines) -> list[str]:
    """What the table does not show: the spread of Y, the generator, sales, lines, errors."""
    results = [result for results in rounds for result in results]
    yardsticks = ", ".join(f"{results[0].measurement.rate:,.0f}" for results in rounds)
    busiest = max(result.measurement.generator_cpu for result in results)
    sales = [sales for result in results if (sales := result.measurement.sales)]
    slowest = min(sale.rate for sale in sales)
    checked = sum(sale.checked for sale in sales)
    stale = sum(sale.stale for sale in sales)
    return [
        f"Y by round: {yardsticks}",
        "its CPU: the measured server's share of its core; other CPU: how busy the others were",
        f"{CONNECTIONS} keep-alive connections; the generator used up to {busiest:.0%} of a core",
        f"While seat maps were read, {slowest:.1f} seats a second or more were sold. Of {checked}"
        f" reads that began right after a sale, {stale} did not show it",
        *map(_sentence, _comparisons(rounds)),
        f"Redis takes {lines.bytes_each:.0f} bytes for each of {lines.long.people:,} people in line"
        f" (aim: under {BYTES_AIM})",
        *_errors(results),
        _conclusion(rounds),
    ]


def figures(rounds: Sequence[Sequence[Result]]) -> list[Figure]:
    """What is kept of them: Y in requests a second, and the ratios to it."""
    first, *others = zip(*rounds, strict=True)
    rates = [result.measurement.rate for result in first]
    return [
        Figure(first[0].row.name, "requests/s", rates),
        *(Figure(row[0].row.name, "of Y", [result.ratio for result in row]) for row in others),
    ]


def faults(rounds: Iterable[Iterable[Result]]) -> int:
    """How many answers were errors or stale."""
    return sum(result.errors.total() + result.stale for results in rounds for result in results)


def _cells(results: Sequence[Result]) -> tuple[str, ...]:
    row = results[0].row
    ratio = _ratio(results)
    measurements = [result.measurement for result in results]
    return (
        row.name,
        f"{median(measured.rate for measured in measurements):,.0f}",
        f"{median(measured.p50_ms for measured in measurements):.1f}",
        f"{median(measured.p99_ms for measured in measurements):.1f}",
        f"{ratio:.2f}",
        "" if row.must is None else f"{row.must:.2f}",
        "" if row.aim is None else f"{row.aim:.2f}",
        _verdict(row, ratio),
        f"{median(result.cpu for result in results):.0%}",
        f"{median(measured.cores_busy for measured in measurements):.0%}",
    )


def _conclusion(rounds: Sequence[Sequence[Result]]) -> str:
    verdicts = [_verdict(results[0].row, _ratio(results)) for results in zip(*rounds, strict=True)]
    verdicts += [comparison.verdict for comparison in _comparisons(rounds)]
    judged = [verdict for verdict in verdicts if verdict]
    reached = len(judged) - judged.count(MISSED)
    return f"{faults(rounds)} wrong answers; {reached} of {len(judged)} musts are reached."


def _comparisons(rounds: Sequence[Sequence[Result]]) -> list[Comparison]:
    """One for each row that is compared with another one."""
    found = {results[0].row.name: results for results in zip(*rounds, strict=True)}
    return [
        Comparison(results, found[against])
        for results in found.values()
        if (against := results[0].row.against)
    ]


def _sentence(comparison: Comparison) -> str:
    scripts = [
        median(result.script_us for result in results)
        for results in (comparison.those, comparison.these)
    ]
    return (
        f"{comparison.these[0].row.name}: {comparison.times:.2f} times as long"
        f" as {comparison.those[0].row.name} (must {TIMES_MUST}, aim {TIMES_AIM}:"
        f" {comparison.verdict}); the script alone {scripts[0]:.0f} µs, then {scripts[1]:.0f} µs"
    )


def _verdict(row: Row, ratio: float) -> str:
    if row.must is None or row.aim is None:
        return ""
    if ratio >= row.aim:
        return "aim reached"
    return "must reached" if ratio >= row.must else MISSED


def _ratio(results: Iterable[Result]) -> float:
    return median(result.ratio for result in results)


def _errors(results: Iterable[Result]) -> list[str]:
    counts: Counter[tuple[str, int]] = Counter()
    for result in results:
        for status, count in result.errors.items():
            counts[result.row.name, status] += count
    return [f"ERROR {name}: {count} answers {status}" for (name, status), count in counts.items()]


def _without(statuses: Counter[int], status: int) -> Counter[int]:
    return Counter({other: count for other, count in statuses.items() if other != status})
