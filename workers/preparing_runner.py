"""A runner that prepares orders in batches before it runs them.

One call prepares all orders that have come meanwhile, and the worker's turns go on: what is being prepared counts
as load, and is handed back like what stands in the line.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from shared.domain.ids import OrderRange
from workers.failures import Describe, Verdict
from workers.handlers import Handler, Job, Prepare
from workers.runner import Result, Runner


class PreparingRunner(Runner):
    """A runner that only runs orders that `prepare` accepts; one call takes at most `timeout` seconds."""

    def __init__(
        self,
        prepare: Prepare,
        handler: Handler,
        *,
        concurrency: int,
        timeout: float,
        wake: Callable[[], None],
        describe: Describe | None = None,
    ) -> None:
        super().__init__(handler, concurrency=concurrency, timeout=timeout, wake=wake, describe=describe)
        self._prepare = prepare
        self._waiting: list[tuple[OrderRange, int, Job]] = []
        self._batch: list[tuple[OrderRange, int, Job]] = []
        self._preparing: asyncio.Task[None] | None = None
        self._notes: dict[int, str] = {}
        """Notes about orders that run or wait in the line, by sequence."""
        self._log = structlog.get_logger()

    @property
    def load(self) -> int:
        """Number of orders at work, in the line, or being prepared for it."""
        return len(self._waiting) + len(self._batch) + super().load

    def put(self, order_range: OrderRange, sequence: int, job: Job) -> None:
        """Adds an order of a claimed range to what is prepared next; `start` sets that going."""
        self._waiting.append((order_range, sequence, job))

    def start(self) -> None:
        """Starts preparing the waiting orders, unless that already runs."""
        if self._waiting and self._preparing is None:
            self._preparing = asyncio.get_running_loop().create_task(self._prepare_waiting(), name="prepare")

    async def _prepare_waiting(self) -> None:
        while self._waiting:
            batch = self._batch = self._waiting
            self._waiting = []
            started = time.monotonic()
            found = await self._prepare_batch([job for _, _, job in batch])
            if self._batch is not batch:
                # It has been handed back meanwhile.
                return
            self._batch = []
            if found:
                self._notes |= {seq: note for _, seq, job in batch if isinstance(note := found.get(job.id), str)}
                verdicts = {order: one for order, one in found.items() if not isinstance(one, str)}
                now, took = time.time_ns() // 1000, int((time.monotonic() - started) * 1e6)
                ended = [
                    Result(order_range, sequence, job.attempt, now, took, verdicts[job.id])
                    for order_range, sequence, job in batch
                    if job.id in verdicts
                ]
                if ended and not self._results:
                    self._wake()
                self._results += ended
                batch = [entry for entry in batch if entry[2].id not in verdicts]
            self._line.extend(batch)
            self._add_task()
        self._preparing = None

    async def _prepare_batch(self, jobs: list[Job]) -> Mapping[str, Verdict | str]:
        """Returns refusals and notes of a batch, by order id."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                refused = await self._prepare(jobs)
            return {
                job: reason if isinstance(reason, str) else self._describe(reason) for job, reason in refused.items()
            }
        except asyncio.CancelledError as reason:
            if self._preparing is None:
                raise
            found = self._describe(reason)
        except (Exception, SystemExit) as reason:
            found = self._describe(reason)
            if limit.expired():
                found = found._replace(error=f"not prepared within {self._timeout:g} s")
        self._log.error(
            "prepare_failed", orders=len(jobs), error=found.error, place=found.place, exception=found.traceback
        )
        return dict.fromkeys([job.id for job in jobs], found)

    def take_results(self) -> list[Result]:
        """Returns the results since the last call, with the notes of their orders."""
        results = super().take_results()
        if not self._notes:
            return results
        return [result._replace(note=self._notes.pop(result.sequence, None)) for result in results]

    def take_line(self) -> list[tuple[int, int]]:
        """Empties the line; returns sequence and attempt of the orders that were not started."""
        left = [(sequence, job.attempt) for _, sequence, job in (*self._batch, *self._waiting)]
        self._batch, self._waiting = [], []
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        return super().take_line() + left
