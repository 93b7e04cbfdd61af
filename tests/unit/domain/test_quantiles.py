"""Quantiles in constant memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.quantiles import Quantiles, bucket_number


@given(st.lists(st.integers(0, 10**12), min_size=1), st.sampled_from([0.1, 0.5, 0.95, 1.0]))
def test_quantile_is_within_a_bucket_of_the_true_one(values: list[int], share: float) -> None:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    found = quantiles.estimate_quantile(share)
    rank = max(-(-int(share * len(values) * 1000) // 1000), 1)
    true = sorted(values)[min(rank, len(values)) - 1]
    assert found is not None
    assert found == pytest.approx(true, rel=0.07, abs=1) or bucket_number(round(found)) == bucket_number(true)


@given(st.integers(0, 10**12))
def test_larger_values_never_fall_into_a_smaller_bucket(value: int) -> None:
    assert bucket_number(value) <= bucket_number(value + 1) <= bucket_number(value) + 1


def test_merged_histograms_count_both() -> None:
    one, other = Quantiles(), Quantiles()
    one.add(10, 3)
    other.add(1000)
    one.merge(other.buckets)
    assert sum(one.buckets.values()) == 4
    assert Quantiles().estimate_quantile(0.5) is None
