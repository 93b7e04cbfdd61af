"""What the rounds have shown: a line each while they run, a table at the end, and `docs/RELIABILITY.md`."""

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.benchmarks.documents import DATA, LEFT_OUT, replace_report
from tests.chaos.chaos import Outcome


class Row(Struct):
    """One round."""

    name: str
    seed: int
    outcome: Outcome | None
    seconds: float
    left_out: str = ""
    """What is missing on this machine."""
    fault: str = ""
    """Why the round did not come to its proof."""

    @property
    def passed(self) -> bool:
        """Whether the promise held, as far as it could be put to the test."""
        return bool(self.left_out) or (self.outcome is not None and self.outcome.findings.passed)

    def cells(self) -> list[str]:
        """The figures of the round as text."""
        if self.outcome is None:
            return [self.name, f"{LEFT_OUT}: {self.left_out}" if self.left_out else f"FAILED: {self.fault}"]
        found = self.outcome.findings
        return [
            self.name,
            f"{found.acknowledged:,}",
            f"{found.unknown:,}",
            str(self.outcome.kills),
            str(len(found.lost)),
            str(len(found.doubled)),
            f"{p99(self.outcome.recovery):.2f} s" if self.outcome.recovery else "",
            f"{self.seconds:.1f} s",
            str(self.seed),
            "held" if found.passed else f"BROKEN: {found}",
        ]

    def __str__(self) -> str:
        return "  ".join(f"{cell:{width}}" for cell, width in zip(self.cells(), _WIDTHS, strict=False))


_HEADS = ["round", "acknowledged", "unknown", "kills", "lost", "doubled", "p99 recovery", "took", "seed", "promise"]
_WIDTHS = [36, 12, 8, 6, 5, 8, 13, 8, 8, 0]


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed."""
    return sorted(values)[max(-(-len(values) * 99 // 100) - 1, 0)]


def table(rows: Sequence[Row]) -> str:
    """All rounds, with a head and a sum."""
    outcomes = [row.outcome for row in rows if row.outcome is not None]
    orders = sum(outcome.findings.acknowledged for outcome in outcomes)
    kills = sum(outcome.kills for outcome in outcomes)
    lost = sum(len(outcome.findings.lost) for outcome in outcomes)
    doubled = sum(len(outcome.findings.doubled) for outcome in outcomes)
    head = "  ".join(f"{head:{width}}" for head, width in zip(_HEADS, _WIDTHS, strict=True))
    total = f"{orders:,} orders acknowledged, {kills:,} kills, {lost} lost, {doubled} doubled"
    return "\n".join([head, *map(str, rows), "", total])


def write(file: Path, rows: Sequence[Row], folder: Path = DATA) -> Path:
    """Writes the results between the marks of a Markdown file; returns the file that has them.

    That is one in `folder` where there were more rounds with figures before.
    """
    before, _, rest = file.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    lines = [f"| {' | '.join(_HEADS)} |", "|" + "---|" * len(_HEADS)]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    lines += ["", table(rows).rpartition("\n")[2] + ".", ""]
    lines += [
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{datetime.date.today():%Y-%m-%d}."
    ]
    return replace_report(file, before + _BEGIN + "\n" + "\n".join(lines) + "\n" + _END + after, folder)


_BEGIN = "<!-- results:begin (written by the harness) -->"
_END = "<!-- results:end -->"
