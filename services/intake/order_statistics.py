"""Statistics of orders: how many are in each final state, how long they waited and took."""

from collections.abc import Mapping

from msgspec import Struct

from shared.domain.quantiles import Quantiles
from shared.domain.states import FINAL, State
from workers.messages import WorkerReport


class OrderSnapshot(Struct, frozen=True):
    """The statistics at one moment. Times are milliseconds since the server started, by percentile."""

    states: Mapping[State, int]
    """Number of orders in each state."""
    open: int
    limit: int
    accepted: int
    """Orders accepted in all time."""
    noted: int
    """Orders that were done with a note since the server started."""
    rate: float | None
    """Orders that reach a final state per second while there are any; None when not measured yet."""
    waiting_ms: Mapping[str, float | None]
    """From receipt to start."""
    processing_ms: Mapping[str, float | None]
    """From start to end of an attempt."""


class OrderStatistics:
    """Counters of committed changes; `OrderLifecycle` keeps them and alone changes them."""

    def __init__(self) -> None:
        self.finals = dict.fromkeys((state for state in State if state in FINAL), 0)
        """Number of orders in each final state."""
        self.accepted = 0
        self.noted = 0
        self._waiting = Quantiles()
        self._processing = Quantiles()

    def add_former(self, totals: Mapping[State, int], accepted: int) -> None:
        """Adds the orders of a former run, or of a server whose orders this one adopts."""
        self.accepted += accepted
        for state in self.finals:
            self.finals[state] += totals.get(state, 0)

    def add_report(self, report: WorkerReport) -> None:
        """Adds the times and the notes that a worker reports; final states are counted as they are published."""
        self._waiting.merge(report.waiting)
        self._processing.merge(report.processing)
        if report.done:
            self.noted += report.noted

    def waiting_ms(self) -> dict[str, float | None]:
        """Returns percentiles of the time from receipt to start, since the server started."""
        return _percentiles(self._waiting)

    def processing_ms(self) -> dict[str, float | None]:
        """Returns percentiles of the time from start to end of an attempt, since the server started."""
        return _percentiles(self._processing)


def _percentiles(times: Quantiles) -> dict[str, float | None]:
    found = {"p50": times.estimate_quantile(0.5), "p95": times.estimate_quantile(0.95)}
    return {name: None if value is None else round(value / 1000, 3) for name, value in found.items()}
