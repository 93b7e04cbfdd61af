"""Amounts of money: whole numbers of a currency's minor unit (cents), which add up exactly.

On the wire an amount is a number of the major unit with all digits of the minor one: 12.90.
"""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from typing import Final

from shared.domain.errors import ErrorReason, InvalidParams

MAX_AMOUNT: Final = 10**12
"""The largest price, in minor units."""

_EXACT: Final = Context(prec=38, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
_EXPONENTS: Final = {
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(
        (
            "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
            "XOF", "XPF",
        ),
        0,
    ),
}  # fmt: skip
"""Digits of the minor unit of currencies (ISO 4217, list one) in which it has not 2."""


def currency_exponent(currency: str) -> int:
    """Returns the number of digits of a currency's minor unit, by its ISO 4217 code."""
    return _EXPONENTS.get(currency, 2)


def to_minor_units(amount: Decimal, exponent: int, *, field: str) -> int:
    """Returns an amount in minor units, for a currency whose minor unit has `exponent` digits.

    Raises InvalidParams, with the name of the `field`, for a negative or too large amount, and for one that has more
    digits than the currency.
    """
    limit = MAX_AMOUNT // 10**exponent
    if not amount.is_finite() or amount < 0 or amount > limit:
        raise InvalidParams(
            f"{field} must be a number from 0 to {limit}", field=field, reason=ErrorReason("range", min=0, max=limit)
        )
    try:
        # The context limits the cost: the amount may have a million digits.
        return int(amount.scaleb(exponent, _EXACT).to_integral_exact(context=_EXACT))
    except Inexact:
        digits = f"at most {exponent} decimals" if exponent else "no decimals"
        raise InvalidParams(
            f"{field} must have {digits}", field=field, reason=ErrorReason("decimals", digits=exponent)
        ) from None


def to_decimal(amount: int, exponent: int) -> Decimal:
    """Returns an amount in minor units as a number of the major unit, with all digits of the minor one.

    >>> to_decimal(1290, 2)
    Decimal('12.90')
    """
    return Decimal(amount).scaleb(-exponent)


def round_half_up(numerator: int, denominator: int) -> int:
    """Returns the quotient of two whole numbers, rounded to the nearest one; a half is rounded up.

    The numerator is at least 0, the denominator at least 1.
    """
    return (2 * numerator + denominator) // (2 * denominator)
