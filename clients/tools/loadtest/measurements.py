"""The counts of a load test while it runs."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from shared.domain.quantiles import Quantiles

QUANTILES = (0.5, 0.9, 0.99, 0.999)

TEMPORARY = frozenset({"queue_full", "unavailable"})
"""Refusals after which nothing is stored, and the same order can be sent again later."""

_SLICE_SECONDS = 0.25
_MAX_SLICES = 400


class TimeSlice(Struct):
    """Measurements of one interval of the run."""

    accepted: int
    latency: Quantiles


class Timeline:
    """The run as intervals of equal length. A long run has longer intervals, not more of them."""

    def __init__(self) -> None:
        self.seconds = _SLICE_SECONDS
        """The length of an interval."""
        self.slices: list[TimeSlice] = []
        self._began = 0.0

    def begin_run(self, now: float) -> None:
        """Starts the run at a time of the monotonic clock."""
        self._began = now

    def find_slice(self, now: float) -> TimeSlice:
        """Returns the interval that contains `now`."""
        index = int((now - self._began) / self.seconds)
        while index >= _MAX_SLICES:
            self._merge_slices()
            index = int((now - self._began) / self.seconds)
        while len(self.slices) <= index:
            self.slices.append(TimeSlice(0, Quantiles()))
        return self.slices[index]

    def _merge_slices(self) -> None:
        for even, odd in zip(self.slices[::2], self.slices[1::2], strict=False):
            even.accepted += odd.accepted
            even.latency.merge(odd.latency.buckets)
        self.slices = self.slices[::2]
        self.seconds *= 2


class Measurements:
    """Counts of one run. Latency is measured from the time when a request is due until its answer is read.

    Without `rate` a request is due when its connection's window has room. With it, requests are due at regular times,
    so that the wait of a request for a slow server counts.
    """

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        """The id under which each order was acknowledged, by its number."""
        self.sent = 0
        """The number of orders written, including those that were sent again."""
        self.accepted = 0
        self.duplicates = 0
        """Orders that were sent again after a lost answer, and had been stored before."""
        self.refused: Counter[str] = Counter()
        """Refusals by code; each temporary refusal of an order counts."""
        self.given_up = 0
        """Orders that were temporarily refused when the time for sending ended."""
        self.unknown = 0
        """Orders whose connection broke before the answer, and that cannot be sent again safely."""
        self.reconnections = 0
        self.latency = Quantiles()
        self.longest = 0
        self.timeline = Timeline()

    def record_answers(self, now: float, accepted: int, waits: Sequence[tuple[int, int]]) -> None:
        """Records the number of accepted orders, and waiting times in microseconds with their counts."""
        self.accepted += accepted
        part = self.timeline.find_slice(now)
        part.accepted += accepted
        for microseconds, answers in waits:
            self.latency.add(microseconds, answers)
            part.latency.add(microseconds, answers)
            self.longest = max(self.longest, microseconds)

    @property
    def rejected(self) -> int:
        """The number of orders that were finally refused."""
        return sum(number for code, number in self.refused.items() if code not in TEMPORARY)

    @property
    def settled(self) -> int:
        """The number of orders that need no further sending."""
        return self.accepted + self.unknown + self.rejected + self.given_up

    def latency_ms(self) -> Sequence[tuple[str, float]]:
        """Returns quantiles and the maximum by name."""
        # The middle of a bucket may be above all of its values.
        found = [
            (f"p{share * 100:g}", min(self.latency.estimate_quantile(share) or 0.0, self.longest))
            for share in QUANTILES
        ]
        return [(name, value / 1000) for name, value in (*found, ("max", self.longest))]
