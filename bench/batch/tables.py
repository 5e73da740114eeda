"""Rounds, their medians, and the goals beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from measure import Result

Rounds = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Goal:
    """``who`` must reach ``factor`` times ``whom``'s messages/s (or at most that share of its CPU a message)."""

    who: str
    whom: str
    factor: float
    what: str = "rate"

    def check(self, rounds: Rounds) -> tuple[bool, str]:
        """Whether it is met by the median of the rounds' own ratios, and a line that says so."""
        if not rounds.get(self.who) or not rounds.get(self.whom):
            return False, f"  MISSED  {self.who}: nothing measured against {self.whom}"
        found = ratios(rounds, self.who, self.whom, self.what)
        middle = statistics.median(found)
        met = middle <= self.factor if self.what == "cpu" else middle >= self.factor
        thing, sign = ("CPU", "<=") if self.what == "cpu" else ("messages/s", ">=")
        span = f"{min(found):.2f}..{max(found):.2f}"
        verdict = "met   " if met else "MISSED"
        return (
            met,
            f"  {verdict}  {self.who}: {middle:.2f} ({span}) {sign} {self.factor} x {self.whom}'s {thing}",
        )


def ratios(rounds: Rounds, who: str, whom: str, what: str) -> list[float]:
    pairs = zip(rounds[who], rounds[whom], strict=False)
    if what == "cpu":
        return [ours.cpu_us / theirs.cpu_us for ours, theirs in pairs]
    return [ours.rate / theirs.rate for ours, theirs in pairs]


def table(title: str, rounds: Rounds, bases: Sequence[str]) -> str:
    """Medians, with the least and the most of the rounds in brackets, and the rate against each base."""
    heads = [
        "messages/s",
        "CPU us/message",
        *(f"x {base}" for base in bases),
        "peak MiB",
        "server us",
        "database us",
    ]
    lines = [[title, *heads]]
    for name, results in rounds.items():
        if not results:
            lines.append([name, "failed"])
            continue
        cells = [
            name,
            spread([r.rate for r in results], "{:.0f}"),
            spread([r.cpu_us for r in results], "{:.0f}"),
        ]
        for base in bases:
            known = base in rounds and rounds[base]
            cells.append(spread(ratios(rounds, name, base, "rate"), "{:.2f}") if known else "-")
        cells.append(f"{statistics.median(r.peak_mib for r in results):.0f}")
        cells.append(f"{statistics.median(r.server_us for r in results):.0f}")
        cells.append(f"{statistics.median(r.database_us for r in results):.0f}")
        lines.append(cells)
    return align(lines)


def spread(values: Sequence[float], form: str) -> str:
    middle, least, most = (form.format(v) for v in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({least}..{most})" if len(values) > 1 else middle


def align(lines: Sequence[Sequence[str]]) -> str:
    widths = [
        max((len(line[column]) for line in lines if column < len(line)), default=0) for column in range(9)
    ]
    rows = []
    for line in lines:
        cells = [
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=False))
        ]
        rows.append("  ".join(cells).rstrip())
    return "\n".join(rows)
