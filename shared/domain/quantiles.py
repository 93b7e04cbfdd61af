"""Quantiles of durations in constant memory: a histogram with logarithmic buckets, about 6 % wide."""

from collections.abc import Mapping

_SUB_BITS = 4
_SUBS = 1 << _SUB_BITS


def bucket_number(microseconds: int) -> int:
    """Returns the number of the bucket of a duration; each power of two has 16 buckets."""
    shift = microseconds.bit_length() - _SUB_BITS - 1
    return microseconds if shift <= 0 else (shift << _SUB_BITS) + (microseconds >> shift)


def _lower_bound(number: int) -> int:
    if number < 2 * _SUBS:
        return number
    shift = (number >> _SUB_BITS) - 1
    return (number - (shift << _SUB_BITS)) << shift


class Quantiles:
    """A histogram of durations in microseconds, which can be merged with those of other processes."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        """Number of durations by bucket."""

    def add(self, microseconds: int, count: int = 1) -> None:
        """Counts a duration `count` times."""
        number = bucket_number(microseconds)
        self.buckets[number] = self.buckets.get(number, 0) + count

    def merge(self, buckets: Mapping[int, int]) -> None:
        """Adds the counts of another histogram."""
        for number, count in buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    def estimate_quantile(self, share: float) -> float | None:
        """Returns the quantile `share` in microseconds, as the middle of its bucket; None if the histogram is empty."""
        total = sum(self.buckets.values())
        rank = share * total
        seen = 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen >= rank:
                return (_lower_bound(number) + _lower_bound(number + 1) - 1) / 2
        return None
