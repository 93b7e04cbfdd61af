"""Counters and gauges of the intake, ready for Prometheus; updated once a batch, never once an order."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.domain.states import State
from shared.runtime.metrics import ServerMetrics
from workers.pool import WorkerView

_COMMIT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
_BATCH_ORDERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class IntakeMetrics(ServerMetrics):
    """Orders and workers besides requests."""

    def __init__(self) -> None:
        super().__init__()
        self._accepted = Counter("comanda_orders_accepted", "Orders stored.", registry=self.registry)
        self._refused = Counter("comanda_orders_refused", "Orders refused.", ["code"], registry=self.registry)
        self._settled = Counter("comanda_orders_settled", "Final states.", ["state"], registry=self.registry)
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

    def refused(self, code: str, orders: int) -> None:
        """Orders were refused under `code`."""
        self._refused.labels(code).inc(orders)

    def completed(self, state: State, orders: int) -> None:
        """Orders reached a final state."""
        self._settled.labels(state.value).inc(orders)

    def committed(self, orders: int, seconds: float) -> None:
        """One commit of new orders took `seconds`."""
        self._commit.observe(seconds)
        self._batch.observe(orders)

    def timed(self, waiting: Mapping[int, int], processing: Mapping[int, int]) -> None:
        """Attempts begun, by bucket of their wait, and attempts ended, by bucket of their length."""
        self._started.inc(sum(waiting.values()))
        self._ended.inc(sum(processing.values()))

    def follow(self, workers: Callable[[], Iterable[WorkerView]]) -> None:
        """Tells of the workers, too."""
        self.registry.register(_Workers(workers))


class _Workers(Collector):
    """Metrics of each worker: the orders it holds, and the resources of its process."""

    def __init__(self, workers: Callable[[], Iterable[WorkerView]]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        held = GaugeMetricFamily("comanda_worker_orders", "Orders in a worker's hands.", labels=["worker"])
        families: dict[str, Metric] = {held.name: held}
        for worker in self._workers():
            held.add_metric([worker.id], worker.in_hand)
            if worker.pid is None:
                continue
            process = ProcessCollector("comanda_worker", pid=partial(int, worker.pid), registry=None)
            for family in process.collect():
                kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    kept.add_sample(sample.name, {**sample.labels, "worker": worker.id}, sample.value)
        return families.values()
