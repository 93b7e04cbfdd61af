"""One task queue at work: its broker, its two worker processes, and a process that sends jobs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.benchmarks.queues import results
from tests.benchmarks.queues.contenders import Contender
from tests.benchmarks.queues.results import Done

# What is measured are the times that jobs record themselves: looking more often would only take CPU from them.
POLL_SECONDS = 0.1
_ROOT = Path(__file__).parents[3]
_START_SECONDS = 30.0
_WARM_UP = 50


class Running:
    """A task queue whose workers have all done something already."""

    def __init__(self, contender: Contender, folder: Path, port: int) -> None:
        self._contender = contender
        self._results = folder / "results"
        self._results.mkdir()
        self._log = folder / "workers.log"
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "BROKER_URL": f"{contender.scheme}://127.0.0.1:{port}",
            results.FOLDER: str(self._results),
        }
        self._workers = self._start_workers()
        self._sender = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.queues.sender", contender.module],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, first: int, end: int) -> float:
        """Begins to send the jobs of these numbers; gives the time when the first went out."""
        self._ask(f"{first} {end}")
        return float(self._answer())

    def sent(self) -> None:
        """Waits until the broker has taken all that `send` began to send."""
        self._answer()

    def held(self) -> int:
        """How many jobs the broker has, whether they wait or are taken by a worker that may be dead."""
        self._ask("held")
        return int(self._answer())

    def done(self) -> Sequence[Done]:
        """The jobs that were done, without those of warming up."""
        return [job for job in results.done(self._results) if job.number >= 0]

    def warm_up(self) -> None:
        """Sends jobs of negative numbers until both worker processes have done one, and none is left."""
        deadline = time.monotonic() + _START_SECONDS
        sent = 0
        while results.workers(self._results) < 2 or len(results.done(self._results)) < sent:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._contender.name} did not start:\n{self._log.read_text()}")
            if len(results.done(self._results)) == sent:
                self.send(-sent - _WARM_UP, -sent)
                self.sent()
                sent += _WARM_UP
            time.sleep(POLL_SECONDS)

    def kill_workers(self) -> None:
        """Kills every process of the workers at once, whatever they are doing."""
        os.killpg(self._workers.pid, signal.SIGKILL)
        self._workers.wait()

    def restart_workers(self) -> None:
        """Starts them as a supervisor would."""
        self._workers = self._start_workers()

    def close(self) -> None:
        """Ends all of it."""
        self.kill_workers()
        self._sender.kill()
        self._sender.communicate()

    def _start_workers(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            # A group of their own: whatever they fork is killed with them.
            return subprocess.Popen(
                [sys.executable, "-m", *self._contender.workers.split()],
                env=self._environ,
                cwd=self._results.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _ask(self, line: str) -> None:
        assert self._sender.stdin is not None
        self._sender.stdin.write(f"{line}\n")
        self._sender.stdin.flush()

    def _answer(self) -> str:
        assert self._sender.stdout is not None
        if not (line := self._sender.stdout.readline()):
            raise RuntimeError(f"what sends to {self._contender.name} has ended")
        return line


@contextlib.contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Starts the broker, the workers and the sender, and ends them with all that they stored."""
    with contender.broker().running() as broker:
        it = Running(contender, broker.folder, broker.port)
        with contextlib.closing(it):
            it.warm_up()
            yield it


def wait_while_moving(count: Callable[[], int], goal: int, patience: float) -> None:
    """Waits until the count has reached the goal, or has not changed for so many seconds."""
    last, changed = count(), time.monotonic()
    while last < goal and time.monotonic() < changed + patience:
        time.sleep(POLL_SECONDS)
        if (now := count()) != last:
            last, changed = now, time.monotonic()
