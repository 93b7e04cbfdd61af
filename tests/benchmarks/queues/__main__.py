"""Runs the comparison: `make bench-peers`, or `python -m tests.benchmarks.queues --rounds 1 --later 0` for a look."""

import argparse
import sys
from pathlib import Path

from tests.benchmarks.peers import sample_orders
from tests.benchmarks.queues import report
from tests.benchmarks.queues.contenders import CONTENDERS, Contender
from tests.benchmarks.queues.trials import kill_comanda, kill_contenders, speed
from tests.benchmarks.trials import end_to_end


def main() -> int:
    """Measures, prints and writes the report. Gives 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.queues", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs for each task queue")
    parser.add_argument("--orders", type=int, default=100_000, help="orders for Comanda; 5 times as many for kills")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds without progress until jobs are stranded")
    parser.add_argument("--later", type=float, default=75.0, help="seconds that stranded jobs are waited for")
    parser.add_argument("--json", type=Path, default=report.FIGURES, help="figures go here")
    options = parser.parse_args()
    contenders = [contender for contender in CONTENDERS if _available(contender)]
    orders = sample_orders()
    jobs = {report.OURS: options.orders} | {contender.name: options.jobs for contender in contenders}
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(options.rounds):
        rates[report.OURS].append(end_to_end(orders, options.orders).rate)
        for contender in contenders:
            rates[contender.name].append(speed(contender, options.jobs))
        figures = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in rates.items())
        _say(f"round {number + 1}, jobs/s: {figures}")
    _say("killing workers; this takes some minutes, most of them waiting for stranded jobs")
    kills = {report.OURS: kill_comanda(orders, 5 * options.orders, options.patience)}
    kills |= kill_contenders(contenders, options.jobs, options.patience, options.later)
    _say("\n" + report.write(rates, kills, jobs, options.patience, options.later, options.json))
    return 0 if all(bar.met for bar in report.bars(rates, kills)) else 1


def _available(contender: Contender) -> bool:
    if (missing := contender.broker.missing()) is not None:
        _say(f"{contender.name} is left out: it needs {missing}")
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
