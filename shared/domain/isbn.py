"""International Standard Book Numbers (ISO 2108): check digits, and one normal form for all ways to write a number.

Until 2007 a number had 10 digits; since then it has 13. Every number of 10 digits has an equivalent of 13, which is the
form in which numbers are stored and compared.
"""

import re

from shared.domain.errors import ErrorReason, InvalidParams

SEPARATORS = re.compile("[-\u00ad\u2010-\u2015\u2212 \t\u00a0\u2009\u202f]")
"""Hyphens, dashes and blanks, which people and programs put between the groups of a number."""
_TEN = re.compile(r"[0-9]{9}[0-9Xx]", re.ASCII)
_THIRTEEN = re.compile(r"97[89][0-9]{10}", re.ASCII)
_MUSIC = "9790"
"""The prefix of ISMN, the numbers of printed music."""
_MAX_CHARACTERS = 40
_HINT = "an ISBN has 10 or 13 digits, with or without hyphens: 978-0-439-02348-1"


def parse_isbn(text: str) -> str:
    """Returns the 13 digits of an ISBN of 10 or 13 digits, written with or without hyphens and blanks.

    Raises InvalidParams for another text, and for a wrong check digit.

    >>> parse_isbn("0-439-02348-3") == parse_isbn("9780439023481") == "9780439023481"
    True
    """
    digits = SEPARATORS.sub("", text) if len(text) <= _MAX_CHARACTERS else ""
    if _TEN.fullmatch(digits):
        if digits[9].upper() != check_digit_10(digits[:9]):
            raise _wrong_check_digit(digits)
        return complete_isbn("978" + digits[:9])
    if _THIRTEEN.fullmatch(digits) and not digits.startswith(_MUSIC):
        if complete_isbn(digits[:12]) != digits:
            raise _wrong_check_digit(digits)
        return digits
    raise InvalidParams("isbn is not an ISBN", field="isbn", hint=_HINT, reason=ErrorReason("isbn_invalid"))


def check_digit_10(digits: str) -> str:
    """Returns the check digit, 0 to 9 or X, of the first 9 digits of an ISBN of 10 digits."""
    total = sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), digits, strict=True))
    return "0123456789X"[-total % 11]


def complete_isbn(digits: str) -> str:
    """Returns an ISBN of 13 digits for its first 12."""
    total = sum((3 if place % 2 else 1) * int(digit) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _wrong_check_digit(digits: str) -> InvalidParams:
    return InvalidParams(
        f"the check digit of the ISBN {digits} is wrong",
        field="isbn",
        hint="check it for a typo",
        reason=ErrorReason("isbn_check_digit", isbn=digits),
    )
