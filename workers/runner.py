"""The runner: calls the handler for claimed orders, many at a time.

Runner tasks take orders from one line. A handler that never waits is run through the whole line by a
single task; as soon as one waits, the next task takes over, up to `concurrency`. So an order costs a task
only where it needs one.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from shared.domain.ids import OrderRange
from workers.failures import Describe, FailureDescriber, Verdict
from workers.handlers import Handler, Job

_SHOWN_ATTEMPTS = 10


class Result(NamedTuple):
    """The result of an attempt. `failure` is None if the order is done."""

    orders: OrderRange
    """The claimed range that the order is of."""
    sequence: int
    attempt: int
    finished: int
    """Microseconds since the epoch."""
    took: int
    """Microseconds of work."""
    failure: Verdict | None = None
    note: str | None = None
    """A note of the preparation about an order that is done."""


class Runner:
    """Runs `handler` for at most `concurrency` orders at a time, each for at most `timeout` seconds.

    `wake` is called when results have come in; `take_results` gives them. `describe` says what is kept of exceptions.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        concurrency: int,
        timeout: float,
        wake: Callable[[], None],
        describe: Describe | None = None,
    ) -> None:
        self._describe = describe or FailureDescriber()
        self._handler = handler
        self._concurrency = concurrency
        self._timeout = timeout
        self._wake = wake
        self._line: deque[tuple[OrderRange, int, Job]] = deque()
        self._results: list[Result] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[int, tuple[asyncio.Task[None], float, int]] = {}
        self._overdue: set[int] = set()
        self._starting = False
        self._cancelled = False
        # Not the size of `_tasks`: a task leaves that only some time after its last order.
        self._active = 0

    @property
    def load(self) -> int:
        """Number of orders at work or in the line."""
        return len(self._line) + len(self._running)

    @property
    def results(self) -> int:
        """Number of results that are not taken yet."""
        return len(self._results)

    def describe_attempts(self) -> list[dict[str, Any]]:
        """Returns the attempts that have run longest, for a state dump."""
        oldest = heapq.nsmallest(_SHOWN_ATTEMPTS, list(self._running.items()), key=lambda one: one[1][1])
        now = time.monotonic()
        return [
            {"sequence": sequence, "attempt": attempt, "seconds": round(now - started, 3)}
            for sequence, (_, started, attempt) in oldest
        ]

    def put(self, order_range: OrderRange, sequence: int, job: Job) -> None:
        """Adds an order of a claimed range to the line; `start` sets the line going."""
        self._line.append((order_range, sequence, job))

    def start(self) -> None:
        """Sets the line going."""
        self._add_task()

    def _add_task(self) -> None:
        """Starts another task if the line has orders and the limit allows it."""
        if self._line and not self._starting and self._active < self._concurrency:
            self._starting = True
            self._active += 1
            task = asyncio.get_running_loop().create_task(self._run_line())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_line(self) -> None:
        self._starting = False
        # Should the handler wait, the loop goes on to this next task; should it not, there will be
        # nothing left for that task to do.
        line = self._line
        task = asyncio.current_task()
        assert task is not None
        try:
            while line:
                order_range, sequence, job = line.popleft()
                if line:
                    self._add_task()
                await self._run_attempt(task, order_range, sequence, job)
        finally:
            self._active -= 1

    async def _run_attempt(self, task: asyncio.Task[None], order_range: OrderRange, sequence: int, job: Job) -> None:
        started = time.monotonic()
        self._running[sequence] = (task, started, job.attempt)
        failure: Verdict | None = None
        try:
            await self._handler(job)
        except asyncio.CancelledError as reason:
            if self._cancelled:
                raise
            while task.uncancel():
                pass
            # If it is not overdue, something that the handler waited for was cancelled, and not this attempt.
            failure = self._describe(reason)
            if sequence in self._overdue:
                failure = failure._replace(error=f"not finished within {self._timeout:g} s")
        except (Exception, SystemExit) as reason:
            # A handler that wants to end the process is a handler that fails.
            failure = self._describe(reason)
        finally:
            del self._running[sequence]
            self._overdue.discard(sequence)
        took = int((time.monotonic() - started) * 1e6)
        if not self._results:
            self._wake()
        self._results.append(Result(order_range, sequence, job.attempt, time.time_ns() // 1000, took, failure))

    def take_results(self) -> list[Result]:
        """Returns the results since the last call."""
        results, self._results = self._results, []
        return results

    def take_line(self) -> list[tuple[int, int]]:
        """Empties the line; returns sequence and attempt of its orders."""
        left = [(sequence, job.attempt) for _, sequence, job in self._line]
        self._line.clear()
        return left

    def end_overdue(self) -> None:
        """Cancels attempts that have run for longer than the time-out."""
        latest = time.monotonic() - self._timeout
        for sequence, (task, started, _) in list(self._running.items()):
            if started < latest:
                self._overdue.add(sequence)
                task.cancel()

    async def cancel_attempts(self) -> list[tuple[int, int]]:
        """Cancels all attempts; returns sequence and attempt of those without a result."""
        self._cancelled = True
        attempts = {sequence: attempt for sequence, (_, _, attempt) in self._running.items()}
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for result in self._results:
            attempts.pop(result.sequence, None)
        return list(attempts.items())
