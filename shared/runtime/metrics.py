"""What every server counts, ready for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class _Requests(Collector):
    """Requests by what was asked and how it ended; counting one takes no more than a dictionary does."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        family = CounterMetricFamily("comanda_requests", "Requests answered.", labels=["action", "outcome"])
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        return [family]


class ServerMetrics:
    """A server's own registry: its requests, and what its process takes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = _Requests()
        self.registry.register(self._requests)

    def answered(self, action: str, outcome: str = "ok") -> None:
        """A request was answered: well, or with the code `outcome`."""
        self._requests.counts[action, outcome] += 1

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Tells of a number that is asked for when somebody looks."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def exposition(self) -> str:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry).decode()
