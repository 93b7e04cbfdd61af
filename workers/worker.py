"""One worker: takes tickets, claims orders, runs the handler, records results, reports.

Results and new claims of one turn are one transaction: under load there is one fsync for a whole batch
that ends and the batch that follows it. A report is sent after the commit that it tells of.
"""

import asyncio
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from shared.domain.errors import StoreError
from shared.domain.ids import OrderRange, id_prefix
from shared.domain.orders import OrderRequest
from shared.domain.quantiles import bucket_number
from shared.stores.ports.orders import Advance, Claim, Done, Failure, HandBack, Ticket, WorkStore
from workers.failures import TRACEBACK_BYTES, FailureDescriber, Verdict
from workers.handlers import Job, Loaded
from workers.messages import (
    Alive,
    Drain,
    FailedOrder,
    Ready,
    RetriedOrder,
    Tickets,
    ToWorker,
    WorkerReport,
    decode_to_worker,
)
from workers.preparing_runner import PreparingRunner
from workers.queue import Channel, open_channel
from workers.runner import Result, Runner

_STORE_RETRY_SECONDS = 0.5

# Small turns come at most this often: 100 commits a second leave the disk to the intake. A turn is small
# while the places that wait to be filled again are less than this share of all, so hardly any stand idle.
_TURN_SECONDS = 0.01
_SMALL_SHARE = 0.05
_MAX_BACKOFF_SECONDS = 60.0
# Documents that one turn reads: they are in memory several times until they are decoded.
_TURN_BYTES = 4 * 2**20
# Orders of this size and less are bounded by their number alone.
_SMALL_BYTES = 4096


class WorkPolicy(Struct, frozen=True):
    """Settings of a worker; times in seconds."""

    concurrency: int
    max_attempts: int
    retry_seconds: float
    order_timeout: float
    lease_seconds: float
    attempts_kept: int = 10
    """Number of failed attempts that are stored for one order, the newest."""
    traceback_bytes: int = TRACEBACK_BYTES
    document_bytes: int = 16 * 2**20
    """Bound on the bytes of all documents of claimed orders."""


class Worker:
    """Processes the orders from its queue until it is drained or its pool is gone."""

    def __init__(
        self, name: str, store: WorkStore, handler: Loaded, policy: WorkPolicy, *, secrets: Iterable[str] = ()
    ) -> None:
        self.name = name
        self._store = store
        self._policy = policy
        self._tickets: deque[Ticket] = deque()
        self._failures: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        """Document sizes of large claimed orders."""
        self._bytes_in_hand = 0
        self._woken = asyncio.Event()
        self._close_handler = handler.close
        kind = Runner if handler.prepare is None else partial(PreparingRunner, handler.prepare)
        self._runner = kind(
            handler.handle,
            concurrency=policy.concurrency,
            timeout=policy.order_timeout,
            wake=self._woken.set,
            describe=FailureDescriber(policy.traceback_bytes, secrets),
        )
        self._draining: float | None = None
        """Deadline of a drain, by the clock of the loop."""
        self._gone = False
        self._queue: Channel
        self._last_turn = 0.0
        self._decode = msgspec.json.Decoder(OrderRequest)
        self._log = structlog.get_logger().bind(worker=name)

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: the orders in hand and the attempts that have run longest."""
        return {
            "worker": self.name,
            "orders_waiting": sum(ticket.orders.count for ticket in list(self._tickets)),
            "orders_in_hand": self._runner.load,
            "results_waiting": self._runner.results,
            "draining": self._draining is not None,
            "attempts": self._runner.describe_attempts(),
        }

    def drain(self, seconds: float) -> None:
        """Starts no more orders, and ends within `seconds`; of several calls the earliest deadline counts."""
        deadline = asyncio.get_running_loop().time() + seconds
        if self._draining is None or deadline < self._draining:
            self._draining = deadline
            self._woken.set()

    async def run(self, end: socket.socket) -> None:
        """Processes orders that arrive through `end` until a drain, or until the pool is gone."""
        self._queue = await open_channel(end, decode_to_worker, self._take_messages, self._end_connection)
        pulse = asyncio.create_task(self._send_heartbeats(), name="pulse")
        try:
            self._queue.put(Ready())
            while not self._gone and self._draining is None:
                await self._woken.wait()
                await self._pace_turn()
                self._woken.clear()
                await self._run_turn()
            if self._draining is not None:
                await self._finish_drain()
            if self._gone:
                self._log.warning("pool_gone")
            # While the pool still waits: with the queue it gives the process up.
            await self._close_handler()
        finally:
            pulse.cancel()
            await self._queue.close()

    async def _pace_turn(self) -> None:
        """Delays small turns, so that a trickle of results does not cost one fsync each."""
        loop = asyncio.get_running_loop()
        waiting = sum(ticket.orders.count for ticket in self._tickets)
        gathered = self._runner.results + min(waiting, self._free_places())
        pause = self._last_turn + _TURN_SECONDS - loop.time()
        # With nothing gathered there is no turn to put off: what comes next must not wait for it.
        if pause > 0 and 0 < gathered < self._policy.concurrency * _SMALL_SHARE:
            await asyncio.sleep(pause)
        self._last_turn = loop.time()

    def _take_messages(self, messages: list[ToWorker]) -> None:
        for message in messages:
            match message:
                case Tickets(tickets):
                    self._tickets.extend(tickets)
                case Drain(seconds):
                    self.drain(seconds)
        self._woken.set()

    def _end_connection(self) -> None:
        self._gone = True
        self._woken.set()

    async def _send_heartbeats(self) -> None:
        """Sends heartbeats, and ends overdue attempts."""
        while True:
            await asyncio.sleep(self._policy.lease_seconds / 4)
            self._queue.put(Alive())
            self._runner.end_overdue()

    async def _run_turn(self, handed_back: Iterable[tuple[int, int]] = ()) -> None:
        """Records finished attempts and claims as many orders as there are free places."""
        results = self._runner.take_results()
        if self._sizes:
            self._bytes_in_hand -= sum(self._sizes.pop(result.sequence, 0) for result in results)
        tickets = self._take_tickets()
        back = [HandBack(sequence, attempt) for sequence, attempt in handed_back]
        if not (results or tickets or back):
            return
        done = [
            Done(result.sequence, result.attempt, result.finished, result.note)
            for result in results
            if result.failure is None
        ]
        failures = [self._failure_of(result, result.failure) for result in results if result.failure is not None]
        room = min(self._policy.document_bytes - self._bytes_in_hand, _TURN_BYTES)
        while True:
            now = time.time_ns() // 1000
            try:
                advance = await self._store.advance(
                    self.name,
                    done=done,
                    failures=failures,
                    handed_back=back,
                    tickets=tickets,
                    now=now,
                    max_bytes=room,
                )
                break
            except StoreError as error:
                self._log.error("results_not_stored", reason=error.message)
                await asyncio.sleep(_STORE_RETRY_SECONDS)
        self._send_report(results, failures, advance, now)
        for claim in advance.claims:
            self._start_claim(claim)
        if advance.left:
            self._tickets.extendleft(reversed(advance.left))
            self._woken.set()

    def _free_places(self) -> int:
        """Returns the number of orders that may be claimed."""
        if self._draining is not None or self._bytes_in_hand >= self._policy.document_bytes:
            return 0
        return self._policy.concurrency - self._runner.load

    def _take_tickets(self) -> list[Ticket]:
        """Returns tickets for the free places; the last one may be cut."""
        room = self._free_places()
        taken: list[Ticket] = []
        while self._tickets and room > 0:
            ticket, rest = self._tickets.popleft().split_at(room)
            self._tickets.extendleft(rest)
            taken.append(ticket)
            room -= ticket.orders.count
        return taken

    def _failure_of(self, result: Result, verdict: Verdict) -> Failure:
        failures = self._failures.pop(result.sequence, 0) + 1
        retry_at = None
        if not verdict.final and failures < self._policy.max_attempts:
            pause = min(self._policy.retry_seconds * 2 ** (failures - 1), _MAX_BACKOFF_SECONDS)
            retry_at = result.finished + round(pause * random.uniform(0.8, 1.2) * 1e6)
        return Failure(
            result.sequence,
            result.attempt,
            result.finished,
            verdict.error,
            retry_at,
            verdict.place,
            verdict.traceback,
            result.attempt - self._policy.attempts_kept + 1,
        )

    def _send_report(self, results: list[Result], failures: list[Failure], advance: Advance, now: int) -> None:
        claims, out = advance.claims, advance.lost
        by_sequence = {failure.sequence: failure for failure in failures}
        failed: list[FailedOrder] = []
        retried: list[RetriedOrder] = []
        for result in results:
            failure = by_sequence.get(result.sequence)
            if failure is None or result.sequence in out:
                continue
            order_range = OrderRange(result.orders.received, result.orders.node, result.sequence, 1)
            self._log_failure(order_range, failure)
            if failure.retry_at is None:
                failed.append(FailedOrder(order_range, failure.detail))
            else:
                retried.append(RetriedOrder(order_range, failure.attempt, failure.retry_at, failure.detail))
        processing = Counter(bucket_number(result.took) for result in results)
        waiting: Counter[int] = Counter()
        for claim in claims:
            waiting[bucket_number(max(now - claim.ticket.orders.received, 0))] += claim.ticket.orders.count
        report = WorkerReport(
            started=[claim.ticket.orders for claim in claims],
            done=_done_ranges(results, out),
            failed=failed,
            retried=retried,
            refused=advance.refused,
            lost=_lost_ranges(results, out),
            settled_at=now,
            waiting=waiting,
            processing=processing,
            noted=sum(one.note is not None and one.failure is None and one.sequence not in out for one in results),
        )
        self._queue.put(report)

    def _log_failure(self, order_range: OrderRange, failure: Failure) -> None:
        retry_at = failure.retry_at
        self._log.warning(
            "attempt_failed",
            order=next(order_range.ids()),
            attempt=failure.attempt,
            error=failure.detail,
            place=failure.place,
            retry_in_s=None if retry_at is None else round((retry_at - failure.finished) / 1e6, 3),
            exception=failure.traceback,
        )

    def _start_claim(self, claim: Claim) -> None:
        order_range, attempt = claim.ticket.orders, claim.ticket.attempt
        if claim.failures:
            self._failures.update(dict.fromkeys(order_range.sequences, claim.failures))
        prefix = id_prefix(order_range.received, order_range.node)
        put = self._runner.put
        text = "\n".join(claim.documents)
        if len(text) > order_range.count * _SMALL_BYTES:
            sizes = dict(enumerate(map(len, claim.documents), order_range.first))
            self._sizes.update(sizes)
            self._bytes_in_hand += sum(sizes.values())
        orders: list[Any] = self._decode.decode_lines(text)
        for sequence, order in enumerate(orders, order_range.first):
            put(order_range, sequence, Job(f"{prefix}{sequence:012x}", attempt, order))
        self._runner.start()

    async def _finish_drain(self) -> None:
        """Finishes running orders until the deadline, and hands the rest back."""
        loop = asyncio.get_running_loop()
        # What is in the line has been begun in the store, so it is handed back there; what is still a
        # ticket has not, and the pool knows it.
        await self._run_turn(self._runner.take_line())
        while self._runner.load and self._draining is not None and (left := self._draining - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._woken.wait()
            except TimeoutError:
                break
            self._woken.clear()
            await self._run_turn()
        await self._run_turn(await self._runner.cancel_attempts())


def _done_ranges(results: list[Result], out: set[int]) -> list[OrderRange]:
    """Returns the orders that are done, as ranges."""
    ranges: list[OrderRange] = []
    group: list[int] = []
    of: OrderRange | None = None
    for result in results:
        if result.failure is not None or result.sequence in out:
            continue
        if of is not result.orders:
            if of is not None:
                ranges += of.select(sorted(group))
            of, group = result.orders, []
        group.append(result.sequence)
    if of is not None:
        ranges += of.select(sorted(group))
    return ranges


def _lost_ranges(results: list[Result], lost: set[int]) -> list[OrderRange]:
    return [
        OrderRange(result.orders.received, result.orders.node, result.sequence, 1)
        for result in results
        if result.sequence in lost
    ]
