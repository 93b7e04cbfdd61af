"""When the index of orders is built."""

import pytest

from services.intake.index_keeper import is_due


@pytest.mark.parametrize(
    ("unindexed", "arrived", "due"),
    [
        pytest.param(100, 100, False, id="few orders are read without it"),
        pytest.param(500_000, 500, True, id="quiet"),
        pytest.param(500_000, 400_000, False, id="a burst goes first"),
        pytest.param(2_000_000, 400_000, True, id="a burst that does not end"),
    ],
)
def test_index_is_built_between_bursts(unindexed: int, arrived: int, due: bool) -> None:
    assert is_due(unindexed, arrived) is due
