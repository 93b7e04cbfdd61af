"""Runs the comparison: `make bench-peers`, or `python -m tests.benchmarks.queues --rounds 1 --later 0` for a look."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.benchmarks.peers import sample_orders
from tests.benchmarks.queues import report
from tests.benchmarks.queues.contenders import CONTENDERS
from tests.benchmarks.queues.trials import Killed, kill_comanda, kill_contenders, speed
from tests.benchmarks.runs import Run
from tests.benchmarks.trials import end_to_end


def main() -> int:
    """Measures, prints and writes the report. Returns 1 when a bar is missed, or a part could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.queues", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs for each task queue")
    parser.add_argument("--orders", type=int, default=100_000, help="orders for Comanda; 5 times as many for kills")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds without progress until jobs are stranded")
    parser.add_argument("--later", type=float, default=75.0, help="seconds that stranded jobs are waited for")
    parser.add_argument("--json", type=Path, default=report.FIGURES, help="figures go here")
    options = parser.parse_args()
    run = Run()
    run.say_missing((contender.name, contender.broker.missing()) for contender in CONTENDERS)
    contenders = [contender for contender in CONTENDERS if contender.broker.missing() is None]
    orders = sample_orders()
    rates: dict[str, list[float]] = {}
    kills: dict[str, Killed] = {}
    with run:
        sides: dict[str, Callable[[], float]] = {report.OURS: lambda: end_to_end(orders, options.orders).rate}
        sides |= {contender.name: partial(speed, contender, options.jobs) for contender in contenders}
        _measure_rates(run, rates, sides, options.rounds)
        run.say("killing workers; this takes some minutes, most of them waiting for stranded jobs")
        name = f"{report.OURS}, workers killed"
        ours = run.measure(name, lambda: kill_comanda(orders, 5 * options.orders, options.patience))
        kills |= {} if ours is None else {report.OURS: ours}
        kill_contenders(run, kills, contenders, options.jobs, options.patience, options.later)
    jobs = {name: options.orders if name == report.OURS else options.jobs for name in rates}
    text, place = report.write(rates, kills, jobs, options.patience, options.later, options.json)
    run.say(f"the figures\n\n{text}")
    if place != report.DOC:
        run.say(f"{report.DOC} has rows that this run lacks, and is left as it is; this run is in {place}")
    for fault in run.faults:
        run.say(f"not measured: {fault}")
    return 0 if all(bar.met for bar in report.bars(rates, kills)) and not run.faults else 1


def _measure_rates(run: Run, rates: dict[str, list[float]], sides: dict[str, Callable[[], float]], rounds: int) -> None:
    """Adds to `rates` in alternating rounds; a side that fails takes no further part."""
    for number in range(rounds):
        for name, measure in list(sides.items()):
            rate = run.measure(f"round {number + 1}: {name}", measure)
            if rate is None:
                del sides[name]
                continue
            rates.setdefault(name, []).append(rate)
            run.say(f"{rate:,.0f} jobs/s")


if __name__ == "__main__":
    sys.exit(main())
