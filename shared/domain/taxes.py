"""Taxes on sales: computed for each line of a purchase and rounded half up, so that what is shown adds up.

The total of a purchase is the sum of its lines, and its tax is the sum of their taxes.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct

from shared.domain.money import round_half_up
from shared.domain.names import is_same_name

OTHERS = "*"
"""The category whose rate applies to all categories without a rate of their own."""


class TaxedAmount(Struct, frozen=True):
    """An amount of money in minor units: `total` is always the sum of `net` and `tax`."""

    net: int
    tax: int

    @property
    def total(self) -> int:
        """The amount with its tax."""
        return self.net + self.tax


def find_tax_rate(rates: Mapping[str, str], category: str) -> Decimal:
    """Returns the tax rate of a category in percent: its own, or that of `OTHERS`, or 0.

    Categories are names: case and blanks are ignored.
    """
    own = next((rate for name, rate in rates.items() if is_same_name(name, category)), None)
    return Decimal(rates.get(OTHERS, "0") if own is None else own)


def tax_line(unit_price: int, quantity: int, rate: Decimal, *, included: bool) -> TaxedAmount:
    """Returns the amount of one line of a purchase, in minor units as `unit_price` is.

    The `rate` is in percent. With `included`, the price contains the tax, and the tax is taken out of it.
    """
    amount = unit_price * quantity
    numerator, denominator = rate.as_integer_ratio()
    denominator *= 100
    if not included:
        return TaxedAmount(amount, round_half_up(amount * numerator, denominator))
    tax = round_half_up(amount * numerator, denominator + numerator)
    return TaxedAmount(amount - tax, tax)


def sum_lines(lines: Iterable[TaxedAmount]) -> TaxedAmount:
    """Returns the amount of a purchase: the sum of its lines."""
    net = tax = 0
    for line in lines:
        net += line.net
        tax += line.tax
    return TaxedAmount(net, tax)
