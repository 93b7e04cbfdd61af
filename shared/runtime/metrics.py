"""Counters and gauges of the intake, ready for Prometheus; updated once a batch, never once an order."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from shared.domain.states import State

_COMMIT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
_BATCH_ORDERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """The intake's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = Counter("comanda_orders_accepted", "Orders stored.", registry=self.registry)
        self._refused = Counter("comanda_orders_refused", "Orders refused.", ["code"], registry=self.registry)
        self._settled = Counter("comanda_orders_settled", "Final states.", ["state"], registry=self.registry)
        self._open = Gauge("comanda_orders_open", "Accepted orders that are not final.", registry=self.registry)
        self._commit = Histogram(
            "comanda_commit_seconds", "Commits of new orders.", buckets=_COMMIT_SECONDS, registry=self.registry
        )
        self._batch = Histogram(
            "comanda_commit_orders", "New orders in a commit.", buckets=_BATCH_ORDERS, registry=self.registry
        )
        self._started = Counter("comanda_attempts_started", "Attempts begun.", registry=self.registry)
        self._ended = Counter("comanda_attempts_ended", "Attempts ended.", registry=self.registry)

    def accepted(self, orders: int) -> None:
        """New orders are stored."""
        self._accepted.inc(orders)
        self._open.inc(orders)

    def refused(self, code: str, orders: int) -> None:
        """Orders were refused under `code`."""
        self._refused.labels(code).inc(orders)

    def settled(self, state: State, orders: int) -> None:
        """Orders reached a final state."""
        self._settled.labels(state.value).inc(orders)
        self._open.dec(orders)

    def committed(self, orders: int, seconds: float) -> None:
        """One commit of new orders took `seconds`."""
        self._commit.observe(seconds)
        self._batch.observe(orders)

    def timed(self, waiting: Mapping[int, int], processing: Mapping[int, int]) -> None:
        """Attempts begun, by bucket of their wait, and attempts ended, by bucket of their length."""
        self._started.inc(sum(waiting.values()))
        self._ended.inc(sum(processing.values()))

    def exposition(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)
