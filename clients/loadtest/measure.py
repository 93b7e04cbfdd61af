"""What a load test counts while it runs."""

from collections import Counter
from collections.abc import Sequence

from shared.runtime.quantiles import Quantiles

QUANTILES = (0.5, 0.9, 0.99, 0.999)

TEMPORARY = frozenset({"queue_full", "unavailable"})
"""Refusals after which nothing was stored, and the same order is welcome later."""


class Measure:
    """Counts of one run. Latency is from writing a request to reading its answer."""

    def __init__(self, size: int) -> None:
        self.ids: list[str | None] = [None] * size
        """The id under which each order was acknowledged."""
        self.sent = 0
        """Orders written, those that were sent again included."""
        self.accepted = 0
        self.duplicates = 0
        """Orders that were sent again after a lost answer, and were there already."""
        self.refused: Counter[str] = Counter()
        """Refusals by code; an order refused for the time being is sent again and counts each time."""
        self.unknown = 0
        """Orders whose connection broke before the answer, and that cannot be sent again safely."""
        self.reconnections = 0
        self.latency = Quantiles()
        self.longest = 0

    def took(self, microseconds: int, answers: int) -> None:
        """So many answers came after so long."""
        self.latency.add(microseconds, answers)
        self.longest = max(self.longest, microseconds)

    @property
    def rejected(self) -> int:
        """Orders that were refused for good."""
        return sum(number for code, number in self.refused.items() if code not in TEMPORARY)

    @property
    def settled(self) -> int:
        """Orders that need no further sending."""
        return self.accepted + self.unknown + self.rejected

    def latency_ms(self) -> Sequence[tuple[str, float]]:
        """Quantiles and maximum by name."""
        # A bucket's middle may lie beyond everything that is in it.
        found = [(f"p{share * 100:g}", min(self.latency.quantile(share) or 0.0, self.longest)) for share in QUANTILES]
        return [(name, value / 1000) for name, value in (*found, ("max", self.longest))]
