"""Quantiles of durations in constant memory: a histogram with logarithmic buckets, about 6 % wide."""

from collections.abc import Mapping

_SUB_BITS = 4
_SUBS = 1 << _SUB_BITS


def bucket(microseconds: int) -> int:
    """The number of the bucket that a duration falls into: 16 for each power of two."""
    shift = microseconds.bit_length() - _SUB_BITS - 1
    return microseconds if shift <= 0 else (shift << _SUB_BITS) + (microseconds >> shift)


def _lower_bound(number: int) -> int:
    if number < 2 * _SUBS:
        return number
    shift = (number >> _SUB_BITS) - 1
    return (number - (shift << _SUB_BITS)) << shift


class Quantiles:
    """Durations in microseconds; histograms of other processes can be merged in."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        """Number of durations by bucket."""

    def add(self, microseconds: int, count: int = 1) -> None:
        """Counts a duration `count` times."""
        number = bucket(microseconds)
        self.buckets[number] = self.buckets.get(number, 0) + count

    def merge(self, buckets: Mapping[int, int]) -> None:
        """Counts everything that another histogram has counted."""
        for number, count in buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    def quantile(self, share: float) -> float | None:
        """The duration that `share` of all stay below, in microseconds: its bucket's middle; None if empty."""
        total = sum(self.buckets.values())
        rank = share * total
        seen = 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen >= rank:
                return (_lower_bound(number) + _lower_bound(number + 1) - 1) / 2
        return None
