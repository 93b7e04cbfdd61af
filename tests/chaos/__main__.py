"""Runs the fault harness: `make chaos`, or `python -m tests.chaos --round power_cut --seed 7` for one round."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.chaos import Chaos, Missing
from tests.chaos.report import Row, table, write
from tests.chaos.rounds import ROUNDS


def main() -> int:
    """Runs the rounds and prints what they have shown. Gives 1 when the promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--round", choices=ROUNDS, action="append", help="only this round; repeatable")
    parser.add_argument("--seed", type=int, default=None, help="repeats what is random in a round")
    parser.add_argument("--scale", type=int, default=1, help="how many times as many faults in each round")
    parser.add_argument("--report", type=Path, help="write the results to this file")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    rows: list[Row] = []
    names = list(options.round or ROUNDS)
    try:
        for name in names:
            rows.append(_run(name, seed, options.scale))
    except KeyboardInterrupt:
        sys.stdout.write(f"\ninterrupted in {names[len(rows)]}; what came before it stands\n")
    sys.stdout.write("\n" + table(rows) + "\n")
    if options.report is not None and (place := write(options.report, rows)) != options.report:
        sys.stdout.write(f"\n{options.report} has rounds that this run lacks, and is left as it is; see {place}\n")
    return 0 if all(row.passed for row in rows) and len(rows) == len(names) else 1


def _run(name: str, seed: int, scale: int) -> Row:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="comanda-chaos-", ignore_cleanup_errors=True) as folder:
        chaos = Chaos(Path(folder), seed, scale=scale)
        try:
            ROUNDS[name](chaos)
            row = Row(name, seed, chaos.outcome, time.monotonic() - began)
        except Missing as missing:
            row = Row(name, seed, None, 0.0, left_out=str(missing))
        except Exception as error:
            # The other rounds are worth running whatever has become of this one.
            fault = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            row = Row(name, seed, None, time.monotonic() - began, fault=fault[:500] or "an assertion failed")
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()
    return row


if __name__ == "__main__":
    sys.exit(main())
