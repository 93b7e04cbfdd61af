"""What the intake counts: orders by state, times, and who is to be told of changes."""

import time
from collections.abc import Mapping

from services.intake.admission import Admission
from services.intake.metrics import IntakeMetrics
from services.intake.watchers import Watchers
from shared.domain.ids import OrderRange
from shared.domain.quantiles import Quantiles
from shared.domain.states import FINAL, State
from shared.stores.ports.orders import Open, Recovery, Rescue
from workers.messages import Report


class Tally:
    """Keeps the counts true to what has been committed, and tells watchers. A `PoolListener`."""

    def __init__(
        self,
        admission: Admission,
        watchers: Watchers,
        metrics: IntakeMetrics,
        totals: Mapping[State, int],
        accepted: int,
    ) -> None:
        self._admission = admission
        self._watchers = watchers
        self._metrics = metrics
        self._totals = {state: totals.get(state, 0) for state in FINAL}
        self._waiting = Quantiles()
        self._processing = Quantiles()
        self._cancelled: set[int] = set()
        """Orders that were cancelled here while a worker had them, which will refuse them."""
        self._discarded: set[int] = set()
        """Orders that were cancelled before it was known here that they had failed."""
        self.noted = 0
        """Orders that were done with a note since the server started."""
        self.accepted = accepted
        """Orders accepted in all time."""

    def took(self, order_range: OrderRange) -> None:
        """New orders are stored."""
        self.accepted += order_range.count
        self._admission.admit(order_range.count, time.monotonic())
        self._metrics.accepted(order_range.count)
        self._watchers.publish("order.accepted", State.QUEUED, [order_range], order_range.received)

    def reported(self, report: Report) -> None:
        """A worker has committed something."""
        publish = self._watchers.publish
        if report.done:
            publish("order.finished", State.DONE, report.done, report.settled_at)
            self._settle(State.DONE, sum(order_range.count for order_range in report.done))
            self.noted += report.noted
        if report.failed:
            ranges = [failed.orders for failed in report.failed]
            details = [failed.detail for failed in report.failed]
            publish("order.failed", State.FAILED, ranges, report.settled_at, details)
            self._settle(State.FAILED, len(ranges))
            for order_range in ranges:
                self._discard_if_wanted(order_range)
        if report.retried:
            ranges = [retry.orders for retry in report.retried]
            details = [retry.detail for retry in report.retried]
            publish("order.requeued", State.QUEUED, ranges, report.settled_at, details)
        if report.started:
            publish("order.started", State.RUNNING, report.started, report.settled_at)
        for order_range in report.refused:
            self._were_cancelled(order_range)
        self._waiting.merge(report.waiting)
        self._processing.merge(report.processing)
        self._metrics.timed(report.waiting, report.processing)

    def rescued(self, rescue: Rescue) -> None:
        """A dead worker's orders were taken back."""
        now = time.time_ns() // 1000
        for state, ranges in rescue.finals.items():
            if state is State.CANCELLED:
                for order_range in ranges:
                    self._were_cancelled(order_range)
                continue
            event = "order.finished" if state is State.DONE else "order.failed"
            self._watchers.publish(event, state, ranges, now)
            self._settle(state, sum(order_range.count for order_range in ranges))
        self._watchers.publish("order.requeued", State.QUEUED, [entry.orders for entry in rescue.requeued], now)

    def _were_cancelled(self, order_range: OrderRange) -> None:
        """A worker was given orders that it was not to begin: counts those that others have cancelled."""
        for sequence in order_range.sequences:
            one = OrderRange(order_range.received, order_range.node, sequence, 1)
            if sequence in self._cancelled:
                self._cancelled.remove(sequence)
            elif sequence in self._discarded:
                self._watchers.publish("order.failed", State.FAILED, [one], time.time_ns() // 1000)
                self._settle(State.FAILED, 1)
                self._discard_if_wanted(one)
            else:
                self._cancel(one)

    def cancelled(self, order_range: OrderRange, *, in_hand: bool) -> None:
        """An order was cancelled; `in_hand` says whether a worker has been given it."""
        if in_hand:
            self._cancelled.add(order_range.first)
        self._cancel(order_range)

    def _cancel(self, order_range: OrderRange) -> None:
        self._watchers.publish("order.cancelled", State.CANCELLED, [order_range], time.time_ns() // 1000)
        self._settle(State.CANCELLED, 1)

    def discarded(self, order_range: OrderRange, *, counted: bool) -> None:
        """A failed order was cancelled; `counted` says whether it is known here that it had failed."""
        self._discarded.add(order_range.first)
        if counted:
            self._discard_if_wanted(order_range)

    def _discard_if_wanted(self, order_range: OrderRange) -> None:
        if order_range.first in self._discarded:
            self._discarded.remove(order_range.first)
            self._totals[State.FAILED] -= 1
            self._totals[State.CANCELLED] += 1
            self._metrics.settled(State.CANCELLED, 1)
            self._watchers.publish("order.cancelled", State.CANCELLED, [order_range], time.time_ns() // 1000)

    def adopted(self, left: Recovery) -> None:
        """What a dead server has left is this one's now."""
        self.accepted += left.accepted
        for state in FINAL:
            self._totals[state] += left.totals.get(state, 0)

    def reopened(self, entry: Open) -> None:
        """A failed order was put back to the queue."""
        self._totals[State.FAILED] -= 1
        self._admission.admit(1, time.monotonic())
        self._watchers.publish("order.requeued", State.QUEUED, [entry.orders], time.time_ns() // 1000)

    def _settle(self, state: State, orders: int) -> None:
        self._totals[state] += orders
        self._admission.settle(orders, time.monotonic())
        self._metrics.settled(state, orders)

    def by_state(self, running: int) -> dict[State, int]:
        """Number of orders in each state, with `running` of the open ones at work."""
        open_orders = self._admission.open
        running = min(running, open_orders)
        counts = {State.QUEUED: open_orders - running, State.RUNNING: running}
        return counts | {state: self._totals[state] for state in State if state in FINAL}

    def waiting_ms(self) -> dict[str, float | None]:
        """From receipt to start, since the server started."""
        return _percentiles(self._waiting)

    def processing_ms(self) -> dict[str, float | None]:
        """From start to end of an attempt, since the server started."""
        return _percentiles(self._processing)


def _percentiles(times: Quantiles) -> dict[str, float | None]:
    found = {"p50": times.quantile(0.5), "p95": times.quantile(0.95)}
    return {name: None if value is None else round(value / 1000, 3) for name, value in found.items()}
