"""The pool of worker processes: starts, feeds and watches them, and recovers the orders of dead ones.

Each worker has a queue of its own, bounded by the number of orders it may hold. A worker that dies, or
whose event loop has not turned for a lease, is killed and replaced, and what it held goes back to the
backlog once the store has fenced it off.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct

from shared.domain.errors import StoreError
from shared.domain.ids import OrderRange
from shared.stores.ports.orders import OpenRange, OrderStore, Rescue, Ticket
from workers.backlog import Backlog
from workers.child import ChildConfig, main
from workers.entry_index import Waiting
from workers.held_tickets import Holding
from workers.messages import Drain, FromWorker, Ready, Tickets, WorkerReport, decode_from_worker
from workers.quarantine import Quarantine
from workers.queue import Channel, open_channel

_START_SECONDS = 30.0
_MAX_RESTART_SECONDS = 10.0
_STORE_RETRY_SECONDS = 0.5
# Of the time that a stop may take, what handlers get to finish; the rest is for recording and ending.
_DRAIN_SHARE = 0.8

_SHOWN_WORKERS = 64


class Process(Protocol):
    """A worker process, as `multiprocessing` has it."""

    @property
    def pid(self) -> int | None:
        """Process id, once it is started."""

    @property
    def exitcode(self) -> int | None:
        """Exit status; None while it runs."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def kill(self) -> None:
        """Kills it."""

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended."""


Spawn = Callable[[ChildConfig, int, socket.socket], Process]
"""Starts worker number N with its end of the queue."""


def spawn_worker(config: ChildConfig, index: int, end: socket.socket) -> Process:
    """Starts a worker process; called from the main thread."""
    process = multiprocessing.get_context("spawn").Process(
        target=main, args=(config, index, end), name=f"worker {index}"
    )
    process.start()
    return process


class PoolPolicy(Struct, frozen=True):
    """Settings of the pool."""

    size: int
    queue_orders: int
    """Orders that one worker may hold, running or queued."""
    lease_seconds: float
    max_rescues: int


class PoolListener(Protocol):
    """The owner of the orders' state; calls come from the event loop and must not block."""

    def complete(self, report: WorkerReport) -> None:
        """Applies the report of a worker's commit."""

    def rescue(self, rescue: Rescue) -> None:
        """Applies the recovery of a dead worker's orders."""


class WorkerView(Struct, frozen=True):
    """One worker, for `stats` and `health`."""

    id: str
    pid: int | None
    ready: bool
    in_hand: int


class _Member:
    """One place in the pool and the process that fills it now."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: Process | None = None
        self.queue: Channel | None = None
        self.holding = Holding()
        self.running = 0
        self.ready = False
        self.alone = False
        """Whether it is reserved for suspects."""
        self.heard = 0.0
        self.false_starts = 0


class Pool:
    """Runs `policy.size` workers over `backlog`; started from the main thread."""

    def __init__(
        self,
        policy: PoolPolicy,
        config: ChildConfig,
        backlog: Backlog,
        store: OrderStore,
        listener: PoolListener,
        on_fault: Callable[[BaseException], None],
        *,
        spawn: Spawn = spawn_worker,
    ) -> None:
        self._policy = policy
        self._config = config
        self._backlog = backlog
        self._quarantine = Quarantine()
        self._store = store
        self._listener = listener
        self._on_fault = on_fault
        self._spawn = spawn
        self._members = [_Member(index + 1) for index in range(policy.size)]
        self._orphans = Holding()
        """Orders of dead workers that are not recovered yet."""
        self._log = structlog.get_logger()
        self._due: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    # Feeding.

    def dispatch(self) -> None:
        """Gives waiting orders to workers with free places, the least busy first."""
        if self._stopping:
            return
        now = time.time_ns() // 1000
        self._dispatch_suspects(now)
        while len(self._backlog):
            free = [
                member
                for member in self._members
                if member.ready and not member.alone and member.holding.orders < self._policy.queue_orders
            ]
            if not free:
                return
            member = min(free, key=lambda one: one.holding.orders)
            share = -(-len(self._backlog) // len(free))
            room = self._policy.queue_orders - member.holding.orders
            waiting = self._backlog.take(min(room, share), now)
            if not waiting:
                break
            self._give_tickets(member, waiting, now)
        self._await_due(now)

    def _dispatch_suspects(self, now: int) -> None:
        """Gives suspects to one worker, which gets no other orders until they are done."""
        ready = [member for member in self._members if member.ready]
        if len(self._quarantine) and ready and not any(member.alone for member in ready):
            min(ready, key=lambda member: member.holding.orders).alone = True
        for member in ready:
            if member.alone and not member.holding.orders:
                suspects = self._quarantine.take(self._policy.queue_orders)
                member.alone = bool(suspects)
                if suspects:
                    self._give_tickets(member, suspects, now)

    def _give_tickets(self, member: _Member, waiting: list[Waiting], now: int) -> None:
        tickets = [Ticket(entry.orders, entry.attempt + 1, entry.priority, entry.stored, now) for entry in waiting]
        for ticket in tickets:
            member.holding.add(ticket)
        # Should it be dead already, its death, which is about to be seen, brings them back.
        assert member.queue is not None
        member.queue.put(Tickets(tickets))

    def _await_due(self, now: int) -> None:
        due = self._backlog.next_due()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if due is not None:
            # Wall clocks are set and jump: look again at least every second.
            delay = min(max((due - now) / 1e6, 0.0), 1.0)
            self._due = asyncio.get_running_loop().call_later(delay, self.dispatch)

    # Life of the workers.

    async def start(self) -> None:
        """Starts all workers; each gets orders when it is ready."""
        for member in self._members:
            await self._start_member(member)
        self._side_task(self._watch_workers(), "lease watch")

    async def _start_member(self, member: _Member) -> None:
        ours, theirs = socket.socketpair()
        process = self._spawn(self._config, member.index, theirs)
        theirs.close()
        member.process, member.holding, member.ready = process, Holding(), False
        member.heard = asyncio.get_running_loop().time()
        member.queue = await open_channel(
            ours,
            decode_from_worker,
            lambda messages: self._take_messages(member, messages),
            lambda: self._lose_worker(member),
        )

    def _take_messages(self, member: _Member, messages: list[FromWorker]) -> None:
        member.heard = asyncio.get_running_loop().time()
        for message in messages:
            match message:
                case WorkerReport():
                    self._apply_report(member, message)
                case Ready():
                    member.ready = True
                    member.false_starts = 0
        self.dispatch()

    def _apply_report(self, member: _Member, report: WorkerReport) -> None:
        remove = member.holding.remove
        for order_range in report.done:
            remove(order_range)
        for failed in report.failed:
            remove(failed.orders)
        for order_range in (*report.refused, *report.lost):
            remove(order_range)
        begun = sum(order_range.count for order_range in report.started)
        ended = (
            sum(order_range.count for order_range in (*report.done, *report.lost))
            + len(report.failed)
            + len(report.retried)
        )
        member.running += begun - ended
        for retry in report.retried:
            ticket = member.holding.find(retry.orders.first)
            if ticket is not None:
                remove(retry.orders)
                waiting = Waiting(retry.orders, retry.attempt, ticket.priority, ticket.stored)
                self._backlog.put(waiting, due=retry.due)
        self._listener.complete(report)

    def _lose_worker(self, member: _Member) -> None:
        """Handles the loss of a worker that has ended or is unresponsive."""
        assert member.process is not None
        if not member.ready:
            member.false_starts += 1
        member.ready = member.alone = False
        process, tickets = member.process, member.holding.tickets()
        member.holding = Holding()
        for ticket in tickets:
            self._orphans.add(ticket)
        member.running = 0
        if process.is_alive():
            process.kill()
        self._side_task(self._replace_worker(member, process, tickets), f"replace worker {member.index}")

    async def _replace_worker(self, member: _Member, process: Process, tickets: list[Ticket]) -> None:
        # Only a process that has been reaped is certain to write nothing more.
        await asyncio.to_thread(process.join)
        if self._stopping:
            return
        orders = sum(ticket.orders.count for ticket in tickets)
        self._log.warning("worker_died", worker=member.index, status=process.exitcode, orders=orders)
        await self._rescue_orders(tickets)
        if member.false_starts:
            await asyncio.sleep(min(0.1 * 2**member.false_starts, _MAX_RESTART_SECONDS))
        if not self._stopping:
            await self._start_member(member)

    async def _rescue_orders(self, tickets: Sequence[Ticket]) -> None:
        while tickets:
            try:
                rescue = await self._store.rescue(tickets, poison=self._policy.max_rescues)
            except StoreError as error:
                self._log.error("orders_not_recovered", reason=error.message)
                await asyncio.sleep(_STORE_RETRY_SECONDS)
                continue
            stored = {ticket.orders.first: ticket.stored for ticket in tickets}
            for entry in rescue.requeued:
                self.enqueue(entry, stored=stored.get(entry.orders.first, entry.orders.received))
            self._listener.rescue(rescue)
            for ticket in tickets:
                self._orphans.remove(ticket.orders)
            self.dispatch()
            return

    def enqueue(self, entry: OpenRange, *, stored: int) -> None:
        """Adds orders that are `en cola` in the store to the backlog; `dispatch` starts them."""
        waiting = Waiting(entry.orders, entry.attempt, entry.priority, stored)
        if self._quarantine.is_suspect(entry.rescues):
            self._quarantine.put(waiting, entry.rescues)
        else:
            self._backlog.put(waiting, due=entry.due)

    async def _watch_workers(self) -> None:
        """Kills workers whose event loop is stuck: stopped processes, or handlers that block."""
        loop = asyncio.get_running_loop()
        pause = self._policy.lease_seconds / 4
        while True:
            before = loop.time()
            await asyncio.sleep(pause)
            now = loop.time()
            if now - before > 2 * pause:
                # We were stopped ourselves; what workers said meanwhile has not been read yet.
                continue
            for member in self._members:
                patience = self._policy.lease_seconds if member.ready else _START_SECONDS
                process = member.process
                if process is not None and process.is_alive() and now - member.heard > patience:
                    self._log.warning("worker_unresponsive", worker=member.index, pid=process.pid)
                    member.heard = now
                    process.kill()

    async def drain(self, seconds: float) -> None:
        """Ends all workers within `seconds`: running orders finish or are handed back, then workers are killed.

        When it is cancelled, it can be called again with less.
        """
        self._stopping = True
        if self._due is not None:
            self._due.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        for member in self._members:
            if member.queue is not None and member.process is not None and member.process.is_alive():
                member.queue.put(Drain(seconds * _DRAIN_SHARE))
        for member in self._members:
            await self._end_worker(member, deadline)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end_worker(self, member: _Member, deadline: float) -> None:
        process = member.process
        if process is None:
            return
        loop = asyncio.get_running_loop()
        # More than once: when another thread has just reaped it, the wait ends before that is known here.
        while process.is_alive() and (left := deadline - loop.time()) > 0:
            await asyncio.to_thread(process.join, left)
        if process.is_alive():
            self._log.warning("worker_end_overdue", worker=member.index, pid=process.pid)
            process.kill()
            await asyncio.to_thread(process.join)
        if member.queue is not None:
            await member.queue.ended.wait()

    @property
    def running(self) -> int:
        """Number of orders that workers have begun and not ended."""
        return sum(member.running for member in self._members)

    def stored_at(self, sequence: int) -> int | None:
        """Returns the commit time of a waiting order in microseconds; None for an order that does not wait."""
        for holding in (*(member.holding for member in self._members), self._orphans):
            if (ticket := holding.find(sequence)) is not None:
                return ticket.stored
        waiting = self._backlog.find(sequence) or self._quarantine.find(sequence)
        return None if waiting is None else waiting.stored

    def places(self, *, running: bool) -> list[tuple[int, int]]:
        """Returns ranges of sequences, first and stop, outside of which no order is `en cola`, or `running`."""
        holdings = (*(member.holding for member in self._members), self._orphans)
        ranges = [ticket.orders for holding in holdings for ticket in holding.tickets()]
        held = [(order_range.first, order_range.stop) for order_range in ranges]
        return held if running else [*held, *self._backlog.ranges(), *self._quarantine.ranges()]

    def withdraw(self, sequence: int) -> bool:
        """Removes a cancelled order from the backlog; returns False if a worker has it or it is unknown."""
        return self._backlog.remove(sequence) or self._quarantine.remove(sequence)

    def find_processes(self) -> list[int]:
        """Returns the process ids of running workers."""
        processes = [member.process for member in self._members]
        return [one.pid for one in processes if one is not None and one.pid is not None and one.exitcode is None]

    def describe_state(self) -> dict[str, Any]:
        """Returns the backlog and what each worker holds, for a state dump."""
        now = time.monotonic()
        waiting = self._backlog.find_oldest()
        return {
            "backlog": len(self._backlog),
            "quarantine": len(self._quarantine),
            "orphans": self._orphans.orders,
            "oldest_waiting": None if waiting is None else _describe_orders(waiting.orders),
            "workers": [
                {
                    "worker": f"w{member.index}",
                    "pid": None if member.process is None else member.process.pid,
                    "ready": member.ready,
                    "orders": member.holding.orders,
                    "running": member.running,
                    "silent_s": round(now - member.heard, 3),
                    "oldest": _describe_oldest(member.holding),
                }
                for member in self._members[:_SHOWN_WORKERS]
            ],
        }

    def workers(self) -> list[WorkerView]:
        """Returns the workers and their load."""
        return [
            WorkerView(
                id=f"w{member.index}",
                pid=None if member.process is None else member.process.pid,
                ready=member.ready,
                in_hand=member.holding.orders,
            )
            for member in self._members
        ]

    def _side_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(error)


def _describe_oldest(holding: Holding) -> dict[str, Any] | None:
    orders = [ticket.orders for ticket in holding.tickets()]
    return _describe_orders(min(orders, key=lambda one: one.received)) if orders else None


def _describe_orders(orders: OrderRange) -> dict[str, Any]:
    return {"order": next(orders.ids()), "age_s": round(time.time() - orders.received / 1e6, 3)}
