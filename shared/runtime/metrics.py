"""Metrics that all servers have, in the format of Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class _RequestCounter(Collector):
    """Counts requests by action and outcome; one update costs as much as that of a dictionary."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        family = CounterMetricFamily("comanda_requests", "Requests answered.", labels=["action", "outcome"])
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        return [family]


class ServerMetrics:
    """The registry of a server: its requests, and the resources of its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = _RequestCounter()
        self.registry.register(self._requests)

    def count_request(self, action: str, outcome: str = "ok") -> None:
        """Counts an answered request; `outcome` is `ok` or the code of the error."""
        self._requests.counts[action, outcome] += 1

    def add_gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Adds a number that is computed at each request for metrics."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def render_text(self) -> str:
        """Returns all metrics in the text format of Prometheus."""
        return generate_latest(self.registry).decode()
