"""What a load test counts while it runs."""

from collections import Counter
from collections.abc import Sequence

from shared.runtime.quantiles import Quantiles

QUANTILES = (0.5, 0.9, 0.99, 0.999)


class Measure:
    """Counts of one run. Latency is from writing a request to reading its answer."""

    def __init__(self, size: int) -> None:
        self.ids: list[str | None] = [None] * size
        """The id under which each order was acknowledged."""
        self.accepted = 0
        self.duplicates = 0
        """Orders that were sent again after a lost answer, and were there already."""
        self.refused: Counter[str] = Counter()
        """Refusals by code; an order refused by `queue_full` is sent again and counts each time."""
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
    def settled(self) -> int:
        """Orders that need no further sending."""
        return self.accepted + self.unknown + sum(self.refused.values()) - self.refused["queue_full"]

    def latency_ms(self) -> Sequence[tuple[str, float]]:
        """Quantiles and maximum by name."""
        found = [(f"p{share * 100:g}", self.latency.quantile(share) or 0.0) for share in QUANTILES]
        return [(name, value / 1000) for name, value in (*found, ("max", float(self.longest)))]
