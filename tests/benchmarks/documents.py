"""Reports as Markdown files: written over the one before, unless that one has rows which the new one lacks."""

import datetime
import os
import platform
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
"""Where figures go, and beside them reports that do not replace the one before."""
LEFT_OUT = "left out"
"""How the second cell of a row begins that has no figures."""


class Bar(NamedTuple):
    """One bar to be reached: what, the figure, and whether it is enough."""

    what: str
    figure: str
    needed: str
    met: bool


def replace_report(doc: Path, text: str, folder: Path) -> Path:
    """Writes a report to `doc`, or to `folder` where `doc` has more rows in one of its tables. Returns the place."""
    before = count_rows(doc.read_text()) if doc.exists() else Counter[str]()
    place = doc if before <= count_rows(text) else folder / doc.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def count_rows(text: str) -> Counter[str]:
    """Returns the number of rows with figures in the tables of a Markdown text, by the heads of the tables."""
    found = Counter[str]()
    head: str | None = None
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("|"):
            head = None
        elif following.startswith("|---"):
            head = line
        elif head is not None and not line.startswith("|---") and _has_figures(line, head):
            found[head] += 1
    return found


def _has_figures(row: str, head: str) -> bool:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return len(cells) >= head.strip("|").count("|") + 1 and not cells[min(1, len(cells) - 1)].startswith(LEFT_OUT)


def machine(command: str) -> list[str]:
    """Returns what was measured on, when, and the command that repeats it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    return [
        f"{os.cpu_count()} cores, {processor}, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}; {_redis_version() or 'no Redis'}",
        f"measured on {datetime.date.today():%Y-%m-%d}; repeat it with `{command}`",
    ]


def _redis_version() -> str:
    program = shutil.which("redis-server")
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return said.split(" sha")[0].strip()
