"""The one owner of the state of orders in the intake: the bound on open orders, statistics, queue and watchers.

Each change of state is one method, which stores, counts, queues and publishes it together, so that no caller can forget
a part. The parts are private: other modules read them through the methods at the end.

The bound MAX_PEDIDOS_EN_COLA is exact. Room is reserved before the store is asked, and the count goes up before the
answer, and down after the final state is committed.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from services.intake.admission import Admission
from services.intake.metrics import IntakeMetrics
from services.intake.order_statistics import OrderSnapshot, OrderStatistics
from services.intake.watchers import Watchers
from shared.domain.errors import QueueFull
from shared.domain.ids import OrderRange, parse_id
from shared.domain.states import ACCEPT, CANCEL, DISCARD, FAIL, FINISH, REQUEUE, RETRY, START, State, Transition
from shared.net.connection import Connection
from shared.runtime.clock import read_clock
from shared.stores.orders import split_batch
from shared.stores.ports.orders import Acceptance, Adoption, OpenRange, OrderBatch, OrderStore, Recovery, Rescue
from workers.messages import WorkerReport
from workers.pool import Pool, PoolListener, WorkerView


class Admitted(NamedTuple):
    """A batch that is committed and counted."""

    acceptance: Acceptance
    ahead: int
    """Number of orders that were open before it."""
    seconds: float
    """Duration of the commit."""


class OrderLifecycle:
    """Changes the state of orders. A `PoolListener` of the pool that `create_pool` makes for it.

    At most `limit` orders are open, of which `places` can be in progress at a time. `unread_bytes` bounds the events
    that wait for each watcher.
    """

    def __init__(
        self,
        store: OrderStore,
        metrics: IntakeMetrics,
        create_pool: Callable[[PoolListener], Pool],
        *,
        limit: int,
        places: int,
        unread_bytes: int,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._admission = Admission(limit, places)
        self._statistics = OrderStatistics()
        self._watchers = Watchers(unread_bytes)
        self._pool = create_pool(self)
        self._cancelled: set[int] = set()
        """Orders that were cancelled here while a worker had them, which will refuse them."""
        self._discarded: set[int] = set()
        """Orders that were discarded before their failure was known here."""
        self._reopened: dict[int, OpenRange] = {}
        """Orders that were reopened before their failure was known here."""
        metrics.add_gauge("comanda_orders_open", "Accepted orders that are not final.", lambda: self._admission.open)
        metrics.follow(self._pool.workers)

    # Changes of state.

    async def accept(self, batch: OrderBatch, received: int) -> Admitted:
        """Commits the new orders of a batch for which there is room, and queues them; `dispatch` starts them.

        Raises StoreError.
        """
        admission = self._admission
        size = len(batch.requests)
        began = time.monotonic()
        room = admission.reserve(size)
        try:
            acceptance = await self._store.accept(batch, received=received, room=room)
        finally:
            admission.release(room)
        now = time.monotonic()
        self._metrics.committed(size, now - began)
        ahead = admission.open
        orders = acceptance.orders
        self._count_accepted(orders, now)
        if batch.plain and orders.count:
            entry = OpenRange(orders, 0, batch.requests[acceptance.accepted[0]].priority, None)
            self._pool.enqueue(entry, stored=read_clock())
        elif orders.count:
            stored = read_clock()
            for entry in split_batch(batch, acceptance):
                self._pool.enqueue(entry, stored=stored)
        return Admitted(acceptance, ahead, now - began)

    async def reopen(self, order_id: str) -> State | None:
        """Puts a failed order back into the queue; returns the state that forbids it, or None.

        Raises QueueFull, NotFound and StoreError. An order of another server is queued there.
        """
        admission = self._admission
        if not admission.reserve(1):
            raise QueueFull("there is no room for another open order", hint="try again later")
        try:
            outcome = await self._store.retry(order_id)
        finally:
            admission.release(1)
        if isinstance(outcome, State):
            return outcome
        if outcome is not None:
            self._apply_reopening(outcome)
            self._pool.dispatch()
        return None

    async def cancel(self, order_id: str) -> State | None:
        """Cancels an order that waits or has failed; returns the state that forbids it, or None.

        Raises NotFound and StoreError.
        """
        outcome = await self._store.cancel(order_id)
        if isinstance(outcome, State):
            return outcome
        parts = parse_id(order_id)
        assert parts is not None, "the store has found it"
        milliseconds, node, sequence = parts
        order = OrderRange(milliseconds * 1000, node, sequence, 1)
        if outcome.was is State.FAILED:
            if outcome.here:
                self._apply_discard(order)
        elif self._pool.withdraw(sequence):
            self._close([order], CANCEL)
        elif self._pool.stored_at(sequence) is not None:
            self._cancelled.add(sequence)
            self._close([order], CANCEL)
        # Any other is another server's, which counts it when one of its workers is not allowed to begin it.
        return None

    def recover(self, recovery: Recovery) -> int:
        """Queues what a former run has left open; returns the number of these orders."""
        self._statistics.add_former(recovery.totals, recovery.accepted)
        return self._enqueue_open(recovery.open)

    def adopt(self, adoption: Adoption) -> int:
        """Takes over what dead servers have left, and applies what others did to orders of this one.

        Returns the number of open orders that were taken over from dead servers.
        """
        adopted = sum(self.recover(left) for left in adoption.adopted)
        for entry in adoption.found:
            self._count_accepted(entry.orders, time.monotonic())
            self._pool.enqueue(entry, stored=entry.orders.received)
        for entry in adoption.reopened:
            self._apply_reopening(entry)
        for order_range in adoption.discarded:
            self._apply_discard(order_range)
        self._pool.dispatch()
        return adopted

    def complete(self, report: WorkerReport) -> None:
        """Applies what a worker has committed. The pool has requeued what is to be tried again."""
        at = report.settled_at
        if report.done:
            self._close(report.done, FINISH, at)
        if report.failed:
            failed = [one.orders for one in report.failed]
            self._close(failed, FAIL, at, [one.detail for one in report.failed])
            for order_range in failed:
                self._apply_after_failure(order_range)
        if report.retried:
            ranges = [one.orders for one in report.retried]
            self._watchers.publish(REQUEUE, ranges, at, [one.detail for one in report.retried])
        if report.started:
            self._watchers.publish(START, report.started, at)
        for order_range in report.refused:
            self._apply_refusal(order_range)
        self._statistics.add_report(report)
        self._metrics.timed(report.waiting, report.processing)

    def rescue(self, rescue: Rescue) -> None:
        """Applies what the store did with the orders of a dead worker. The pool has requeued those that are open."""
        for state, ranges in rescue.finals.items():
            if state is State.CANCELLED:
                for order_range in ranges:
                    self._apply_refusal(order_range)
                continue
            self._close(ranges, FINISH if state is State.DONE else FAIL)
            for order in _with_sequence(ranges, self._discarded):
                self._discard_if_wanted(order)
        # The failures of these are never reported: the orders have been open all the time.
        for order in _with_sequence((entry.orders for entry in rescue.requeued), self._reopened):
            del self._reopened[order.first]
        self._watchers.publish(REQUEUE, [entry.orders for entry in rescue.requeued], read_clock())

    # The parts of these changes.

    def _count_accepted(self, orders: OrderRange, now: float) -> None:
        self._statistics.accepted += orders.count
        self._admission.admit(orders.count, now)
        self._metrics.accepted(orders.count)
        self._watchers.publish(ACCEPT, [orders], orders.received)

    def _enqueue_open(self, entries: Sequence[OpenRange]) -> int:
        orders = 0
        for entry in entries:
            orders += entry.orders.count
            self._pool.enqueue(entry, stored=entry.orders.received)
        self._admission.admit(orders, time.monotonic())
        return orders

    def _apply_reopening(self, entry: OpenRange) -> None:
        if self._pool.stored_at(entry.orders.first) is not None:
            # A worker still holds it: its failure is counted first, when the report comes.
            self._reopened[entry.orders.first] = entry
            return
        self._statistics.finals[State.FAILED] -= 1
        self._admission.admit(1, time.monotonic())
        self._watchers.publish(RETRY, [entry.orders], read_clock())
        self._pool.enqueue(entry, stored=entry.orders.received)

    def _close(
        self,
        ranges: Sequence[OrderRange],
        transition: Transition,
        at: int | None = None,
        details: Sequence[str] | None = None,
    ) -> None:
        """Counts and publishes open orders that have reached a final state."""
        orders = sum(order_range.count for order_range in ranges)
        self._watchers.publish(transition, ranges, read_clock() if at is None else at, details)
        self._statistics.finals[transition.target] += orders
        self._admission.release_open(orders, time.monotonic())
        self._metrics.completed(transition.target, orders)

    def _apply_refusal(self, order_range: OrderRange) -> None:
        """Applies that a worker was not allowed to begin orders: counts those that others have cancelled."""
        for sequence in order_range.sequences:
            order = OrderRange(order_range.received, order_range.node, sequence, 1)
            if sequence in self._cancelled:
                self._cancelled.remove(sequence)
                self._reopened.pop(sequence, None)
            elif sequence in self._discarded:
                self._close([order], FAIL)
                self._discard_if_wanted(order)
            else:
                self._close([order], CANCEL)

    def _apply_discard(self, order: OrderRange) -> None:
        self._discarded.add(order.first)
        # An order that a worker still holds has failed, and its report is on its way.
        if self._pool.stored_at(order.first) is None:
            self._discard_if_wanted(order)

    def _apply_after_failure(self, order: OrderRange) -> None:
        """Applies what was done to a failed order before its failure was known here."""
        self._discard_if_wanted(order)
        if (entry := self._reopened.pop(order.first, None)) is not None:
            self._apply_reopening(entry)

    def _discard_if_wanted(self, order: OrderRange) -> None:
        if order.first in self._discarded:
            self._discarded.remove(order.first)
            self._statistics.finals[State.FAILED] -= 1
            self._statistics.finals[State.CANCELLED] += 1
            self._metrics.completed(State.CANCELLED, 1)
            self._watchers.publish(DISCARD, [order], read_clock())

    # Workers.

    async def start(self) -> None:
        """Starts the workers; to be called from the main thread."""
        await self._pool.start()

    def dispatch(self) -> None:
        """Gives waiting orders to workers that have room."""
        self._pool.dispatch()

    async def drain(self, seconds: float) -> None:
        """Ends every worker within `seconds`; when it is cancelled, it can be called again with less."""
        await self._pool.drain(seconds)

    # Watchers.

    def watch(self, connection: Connection, sequence: int | None) -> None:
        """Sends a connection the changes of one order, or of all, and nothing else."""
        self._watchers.add(connection, sequence)

    def unwatch(self, connection: Connection) -> None:
        """Sends a connection no more changes."""
        self._watchers.remove(connection)

    # Reading.

    @property
    def open(self) -> int:
        """Number of accepted orders that are not final."""
        return self._admission.open

    @property
    def limit(self) -> int:
        """The number of orders that may be open."""
        return self._admission.limit

    @property
    def places(self) -> int:
        """The number of orders that can be in progress at a time."""
        return self._admission.places

    @property
    def running(self) -> int:
        """Number of orders that workers have begun and not ended."""
        return self._pool.running

    def per_order_ms(self) -> float:
        """Returns by how much one waiting order delays those behind it."""
        return self._admission.per_order_ms()

    def retry_after_ms(self, now: float) -> int:
        """Returns when a client that found no room is to try again; `now` is seconds of the monotonic clock."""
        return self._admission.retry_after_ms(now)

    def snapshot(self) -> OrderSnapshot:
        """Returns the statistics as they are now."""
        statistics, open_orders = self._statistics, self._admission.open
        running = min(self._pool.running, open_orders)
        return OrderSnapshot(
            states={State.QUEUED: open_orders - running, State.RUNNING: running, **statistics.finals},
            open=open_orders,
            limit=self._admission.limit,
            accepted=statistics.accepted,
            noted=statistics.noted,
            rate=self._admission.rate(),
            waiting_ms=statistics.waiting_ms(),
            processing_ms=statistics.processing_ms(),
        )

    def workers(self) -> list[WorkerView]:
        """Returns the workers as they are now."""
        return self._pool.workers()

    def find_processes(self) -> list[int]:
        """Returns the process ids of the workers that live."""
        return self._pool.find_processes()

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: open orders and the pool."""
        return {"open_orders": self._admission.open, **self._pool.describe_state()}

    def stored_at(self, sequence: int) -> int | None:
        """Returns when an open order was committed, in microseconds; None for one that is not open here."""
        return self._pool.stored_at(sequence)

    def ranges(self, *, running: bool) -> list[tuple[int, int]]:
        """Returns ranges of sequences, first and stop, outside of which no order waits, or is in progress."""
        return self._pool.places(running=running)


def _with_sequence(ranges: Iterable[OrderRange], sequences: Collection[int]) -> list[OrderRange]:
    """Returns the orders of ranges whose sequences are given, one by one."""
    if not sequences:
        return []
    return [part for one in ranges for part in one.select(i for i in one.sequences if i in sequences)]
