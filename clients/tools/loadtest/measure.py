"""What a load test counts while it runs."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from shared.domain.quantiles import Quantiles

QUANTILES = (0.5, 0.9, 0.99, 0.999)

TEMPORARY = frozenset({"queue_full", "unavailable"})
"""Refusals after which nothing was stored, and the same order is welcome later."""

_SLICE_SECONDS = 0.25
_MAX_SLICES = 400


class Slice(Struct):
    """What was measured in one stretch of the run."""

    accepted: int
    latency: Quantiles


class Timeline:
    """The run in slices of equal length. A long run has longer slices, not more of them."""

    def __init__(self) -> None:
        self.seconds = _SLICE_SECONDS
        """Length of a slice."""
        self.slices: list[Slice] = []
        self._began = 0.0

    def begin(self, now: float) -> None:
        """The run begins."""
        self._began = now

    def at(self, now: float) -> Slice:
        """The slice that `now` falls into."""
        index = int((now - self._began) / self.seconds)
        while index >= _MAX_SLICES:
            self._halve()
            index = int((now - self._began) / self.seconds)
        while len(self.slices) <= index:
            self.slices.append(Slice(0, Quantiles()))
        return self.slices[index]

    def _halve(self) -> None:
        for even, odd in zip(self.slices[::2], self.slices[1::2], strict=False):
            even.accepted += odd.accepted
            even.latency.merge(odd.latency.buckets)
        self.slices = self.slices[::2]
        self.seconds *= 2


class Measure:
    """Counts of one run. Latency is from when a request was due to be written to reading its answer.

    Without `rate` a request is due when there is room for it in its connection's window. With it, requests
    are due evenly, so that one that had to wait for a slow server counts its wait.
    """

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        """The id under which each order was acknowledged, by its number."""
        self.sent = 0
        """Orders written, those that were sent again included."""
        self.accepted = 0
        self.duplicates = 0
        """Orders that were sent again after a lost answer, and were there already."""
        self.refused: Counter[str] = Counter()
        """Refusals by code; an order refused for the time being is sent again and counts each time."""
        self.given_up = 0
        """Orders that were refused for the time being when the time for sending was over."""
        self.unknown = 0
        """Orders whose connection broke before the answer, and that cannot be sent again safely."""
        self.reconnections = 0
        self.latency = Quantiles()
        self.longest = 0
        self.timeline = Timeline()

    def answered(self, now: float, accepted: int, waits: Sequence[tuple[int, int]]) -> None:
        """Answers were read: how many of them accepted an order, and pairs of microseconds and how many waited so."""
        self.accepted += accepted
        part = self.timeline.at(now)
        part.accepted += accepted
        for microseconds, answers in waits:
            self.latency.add(microseconds, answers)
            part.latency.add(microseconds, answers)
            self.longest = max(self.longest, microseconds)

    @property
    def rejected(self) -> int:
        """Orders that were refused for good."""
        return sum(number for code, number in self.refused.items() if code not in TEMPORARY)

    @property
    def settled(self) -> int:
        """Orders that need no further sending."""
        return self.accepted + self.unknown + self.rejected + self.given_up

    def latency_ms(self) -> Sequence[tuple[str, float]]:
        """Quantiles and maximum by name."""
        # A bucket's middle may lie beyond everything that is in it.
        found = [
            (f"p{share * 100:g}", min(self.latency.estimate_quantile(share) or 0.0, self.longest))
            for share in QUANTILES
        ]
        return [(name, value / 1000) for name, value in (*found, ("max", self.longest))]
