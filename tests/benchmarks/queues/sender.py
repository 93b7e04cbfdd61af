"""Sends jobs from a process of its own: `python -m tests.benchmarks.queues.sender MODULE`.

A line `0 2000` has it send the jobs of these numbers: it writes the time when it begins, and a line when the
broker has taken the last. A line `held` asks how many jobs the broker still has.
"""

import importlib
import sys
import time


def main() -> None:
    """Sends what it is told, until the end of its input. Connections are kept from one range to the next."""
    queue = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        if line == "held\n":
            _say(queue.held())
            continue
        first, end = map(int, line.split())
        _say(time.monotonic())
        queue.send(range(first, end))
        _say("sent")


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
