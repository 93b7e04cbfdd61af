"""Amounts of money and their taxes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidParams
from shared.domain.money import MAX_AMOUNT, currency_exponent, round_half_up, to_decimal, to_minor_units
from shared.domain.taxes import TaxedAmount, find_tax_rate, sum_lines, tax_line


@pytest.mark.parametrize(
    ("amount", "exponent", "cents"),
    [("12.99", 2, 1299), ("1.5", 2, 150), ("1.5000", 2, 150), ("0", 2, 0), ("1E+3", 2, 100_000), ("1500", 0, 1500),
     ("0.125", 3, 125), ("1e10", 2, MAX_AMOUNT)],
)  # fmt: skip
def test_amounts_become_minor_units(amount: str, exponent: int, cents: int) -> None:
    assert to_minor_units(Decimal(amount), exponent, field="price") == cents


@pytest.mark.parametrize(
    ("amount", "exponent"),
    [("-0.01", 2), ("12.999", 2), ("1.5", 0), ("NaN", 2), ("Infinity", 2), ("sNaN", 2), ("1e11", 2), ("1e999999", 2),
     ("1e-999999", 2), ("12." + "9" * 100_000, 2)],
)  # fmt: skip
def test_other_amounts_name_their_field(amount: str, exponent: int) -> None:
    with pytest.raises(InvalidParams) as caught:
        to_minor_units(Decimal(amount), exponent, field="price")
    assert caught.value.field == "price"


def test_amounts_keep_the_digits_of_their_currency() -> None:
    assert (str(to_decimal(1290, 2)), str(to_decimal(1500, 0)), str(to_decimal(5, 3))) == ("12.90", "1500", "0.005")
    assert [currency_exponent(code) for code in ("EUR", "ARS", "JPY", "CLP", "KWD")] == [2, 2, 0, 0, 3]


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 3))
def test_amounts_survive_the_way_to_the_wire_and_back(cents: int, exponent: int) -> None:
    limit = MAX_AMOUNT // 10**exponent * 10**exponent
    cents = min(cents, limit)
    assert to_minor_units(to_decimal(cents, exponent), exponent, field="price") == cents


def test_half_a_cent_goes_up() -> None:
    assert [round_half_up(value, 1000) for value in (12_499, 12_500, 12_501)] == [12, 13, 13]
    assert tax_line(125, 1, Decimal(10), included=False).tax == 13


@pytest.mark.parametrize(
    ("price", "quantity", "rate", "included", "net", "tax"),
    [(1299, 3, "4", True, 3747, 150), (1999, 1, "21", True, 1652, 347), (166, 36, "20", False, 5976, 1195),
     (1500, 1, "10.5", False, 1500, 158), (1500, 1, "0", True, 1500, 0), (1500, 2, "19", True, 2521, 479)],
)  # fmt: skip
def test_tax_of_a_line(price: int, quantity: int, rate: str, included: bool, net: int, tax: int) -> None:
    found = tax_line(price, quantity, Decimal(rate), included=included)
    assert (found.net, found.tax, found.total) == (net, tax, net + tax)


lines = st.tuples(st.integers(0, MAX_AMOUNT), st.integers(1, 1000), st.decimals(0, 100, places=4), st.booleans())


@given(st.lists(lines, max_size=48))
def test_totals_are_sums_of_lines(given_lines: list[tuple[int, int, Decimal, bool]]) -> None:
    taxed = [tax_line(price, count, rate, included=included) for price, count, rate, included in given_lines]
    total = sum_lines(taxed)
    assert total.total == sum(line.total for line in taxed) == total.net + total.tax
    for (price, count, _, included), line in zip(given_lines, taxed, strict=True):
        assert (line.total if included else line.net) == price * count
        assert line.tax >= 0


def test_categories_have_their_own_rates() -> None:
    rates = {"Libros": "4", "*": "21"}
    assert [find_tax_rate(rates, name) for name in ("libros", "LIBROS ", "Papel")] == [4, 4, 21]
    assert find_tax_rate({}, "Libros") == 0
    assert sum_lines([]) == TaxedAmount(0, 0)
