"""Writes what was measured: `docs/PEERS.md` and a JSON file."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.documents import DATA, ROOT, Bar, machine, replace_report
from tests.benchmarks.queues.contenders import CONTENDERS
from tests.benchmarks.queues.trials import KILL_AT, Killed

DOC = ROOT / "docs" / "PEERS.md"
FIGURES = DATA / "bench-peers.json"
OURS = "Comanda"

Rates = Mapping[str, Sequence[float]]
"""Jobs a second of each round, by queue; Comanda is the first."""
Kills = Mapping[str, Killed]


def bars(rates: Rates, kills: Kills) -> list[Bar]:
    """Every bar that can be judged by what was measured."""
    found = []
    medians = {name: median(rounds) for name, rounds in rates.items() if name != OURS}
    if medians and OURS in rates:
        best = max(medians, key=medians.__getitem__)
        ratio = median(rates[OURS]) / medians[best]
        found.append(Bar(f"first sent to last done, beside {best}", f"{ratio:.0f} times", "40 times", ratio >= 40))
    if OURS in kills:
        ours = kills[OURS]
        pause = ours.resumed
        found += [
            Bar("orders lost over the kills", str(ours.lost), "0", not ours.lost),
            Bar("orders stranded", str(ours.stranded), "0", not ours.stranded),
            Bar("orders recorded final twice", str(ours.doubled), "0", not ours.doubled),
            Bar("from a kill to the next order done", _seconds(pause), "2 s", pause is not None and pause <= 2),
        ]
    return found


def write(
    rates: Rates, kills: Kills, jobs: Mapping[str, int], patience: float, later: float, json_file: Path
) -> tuple[str, Path]:
    """Writes the figures and the report; returns its text, and the file that has it."""
    json_file.parent.mkdir(parents=True, exist_ok=True)
    members = {"rates": rates, "kills": {name: found._asdict() for name, found in kills.items()}}
    json_file.write_text(json.dumps(members, indent=1))
    text = _markdown(rates, kills, jobs, patience, later)
    return text, replace_report(DOC, text, json_file.parent)


def _markdown(rates: Rates, kills: Kills, jobs: Mapping[str, int], patience: float, later: float) -> str:
    lines = [
        "# Comanda beside task queues",
        "",
        "Written by `make bench-peers`, which starts every broker, worker and client itself on one machine, in",
        "alternating rounds. Redis runs with `appendfsync always`, NATS JetStream with `sync_interval: always`.",
        "",
        "The job of a task queue is one SQLite commit with fsync, in a file that only its own worker process writes.",
        "Comanda's handler does nothing, because Comanda itself commits `en proceso` and `listo` of each order with",
        "fsync, many orders at a time, as it does when it accepts them: that is where most of the factor comes from.",
        "A handler that syncs other data for each order is limited by that in every queue.",
        "",
        "## From the first job sent to the last one done",
        "",
        "Two worker processes each. Comanda is sent orders over 50 connections with 32 in flight on each; each task",
        "queue by its own client library, several at a time, with workers that are started and warm.",
        "",
        "| | jobs | jobs/s (median) | rounds |",
        "|---|---|---|---|",
    ]
    for name, found in rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in found)
        lines.append(f"| {name} | {jobs[name]:,} | {median(found):,.0f} | {each} |")
    lines += [
        "",
        "## When all workers are killed",
        "",
        f"All worker processes are killed with SIGKILL {len(KILL_AT)} times over one run, in the middle of their work,",
        "and started again at once; Comanda does that itself. When nothing has moved for",
        f"{patience:.0f} s, a job that is not done counts as stranded if the broker still has it, otherwise as lost.",
        f"How many of them were done after all, at least {later:.0f} s later, is in the column after.",
        "",
        "| | jobs | stranded | lost | done after all | done twice | next one done after |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kill in kills.items():
        counts = f"{kill.stranded} | {kill.lost} | {kill.done_later} | {kill.doubled}"
        lines.append(f"| {name} | {kill.jobs:,} | {counts} | {_seconds(kill.resumed)} |")
    if OURS in kills:
        lines += [
            "",
            "For Comanda, done twice means recorded final twice. It began",
            f"{kills[OURS].begun_again:,} orders again, since a worker's death had cut their attempt short: a handler",
            "with external effects has to tolerate that, as with every task queue.",
        ]
    lines += [
        "",
        "How the task queues take a job up again that a dead worker held, by default:",
        "",
        *(f"- {contender.name}: {contender.recovery}" for contender in CONTENDERS if contender.name in kills),
        "",
        "| bar | figure | needed | |",
        "|---|---|---|---|",
    ]
    found_bars = bars(rates, kills)
    lines += [f"| {b.what} | {b.figure} | {b.needed} | {'met' if b.met else '**missed**'} |" for b in found_bars]
    lines += ["", "## Machine and versions", ""]
    lines += [f"- {line}" for line in (*machine("make bench-peers"), _versions(kills))]
    return "\n".join([*lines, ""])


def _versions(kills: Kills) -> str:
    packages = (package for contender in CONTENDERS if contender.name in kills for package in contender.packages)
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def _seconds(pause: float | None) -> str:
    return "never" if pause is None else f"{pause:.2f} s"
