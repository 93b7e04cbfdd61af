"""Metrics of the gateway, merged with those of the servers behind it."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class GatewayMetrics:
    """The gateway's registry of metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "comanda_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "comanda_http_seconds", "How long answers took.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        # Looking a child up by its labels costs more than counting.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.at_work = Gauge("comanda_http_at_work", "Requests that wait for an answer.", registry=self.registry)
        self.streams = Gauge("comanda_http_event_streams", "Streams of events that are open.", registry=self.registry)

    def record_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Records a response; `status` is 0 if the client disconnected before."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (self._requests.labels(*key), self._seconds.labels(route))
        children[0].inc()
        children[1].observe(seconds)


class _Families(Collector):
    """Metric families that are given."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merge_expositions(expositions: Mapping[str, str]) -> bytes:
    """Returns the expositions of several servers as one, each sample labelled with its `server`."""
    families: dict[str, Metric] = {}
    for server, exposition in expositions.items():
        for family in text_string_to_metric_families(exposition):
            kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                kept.add_sample(sample.name, {**sample.labels, "server": server}, sample.value)
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)
