"""Sends jobs from a process of its own: `python -m tests.benchmarks.queues.sender MODULE`.

A line `0 2000` has it send the jobs of these numbers: it writes the time when it begins, and a line when the
broker has taken the last. A line `held` asks how many jobs the broker still has.
"""

import importlib
import signal
import sys
import time

_PATIENCE_SECONDS = 30


def main() -> None:
    """Sends what it is told, until the end of its input. Connections are kept from one range to the next."""
    queue = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        # A broker that does not answer any more ends this process, and so the comparison.
        signal.alarm(_PATIENCE_SECONDS)
        if line == "held\n":
            _say(queue.held())
        else:
            first, end = map(int, line.split())
            _say(time.monotonic())
            queue.send(range(first, end))
            _say("sent")
        signal.alarm(0)


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
