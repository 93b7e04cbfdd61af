"""Keys as text: the order of their bytes is the order of the values."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.stores.keys import key_text, prefix_end

numbers = st.integers(-(10**38) + 1, 10**38 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1E+120"), max_value=Decimal("1E+120")
).filter(lambda number: not number or number.copy_abs() > Decimal("1E-120"))
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(numbers, numbers)
def test_numbers_sort_as_their_texts(one: int | Decimal, other: int | Decimal) -> None:
    assert (key_text(one) < key_text(other)) is (one < other)
    assert (key_text(one) == key_text(other)) is (one == other)


@given(texts, texts)
def test_prefix_ends_behind_all_that_begin_with_it(prefix: str, rest: str) -> None:
    end = prefix_end(prefix).encode()
    assert not end or (prefix + rest).encode() < end


@given(texts, texts)
def test_prefix_ends_before_all_that_come_later(prefix: str, other: str) -> None:
    end = prefix_end(prefix)
    if end and other > prefix and not other.startswith(prefix):
        assert other >= end
