"""Rules for new passwords, by NIST SP 800-63B-4, section 3.1.1.2: length and a blocklist, no composition rules."""

import unicodedata
from collections.abc import Container, Iterable

from shared.domain.errors import ErrorReason, InvalidParams

MAX_CHARACTERS = 256
MAX_BYTES = 1024
LEAST_MINIMUM = 8
"""The lowest minimum length that may be set: OWASP ASVS 5.0, 6.2.1."""

_PERSONAL_CHARACTERS = 3
_SEQUENCES = (
    "0123456789" * 2,
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiopasdfghjklñzxcvbnm",
)


def normalize_password(text: str) -> str:
    """Returns a password in NFKC, so that every keyboard types the same one. Raises InvalidParams.

    The length is checked first, since normalisation and hashing take time by the length.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidParams(
            "the password is not valid Unicode", field="password", reason=ErrorReason("pattern")
        ) from None
    if len(text) > MAX_CHARACTERS or size > MAX_BYTES:
        raise InvalidParams(
            f"the password has more than {MAX_CHARACTERS} characters or {MAX_BYTES} bytes",
            field="password",
            reason=ErrorReason("max_length", max=MAX_CHARACTERS),
        )
    return unicodedata.normalize("NFKC", text)


def check_new_password(
    text: str, *, minimum: int, frequent: Container[str], personal: Iterable[str] = (), field: str = "password"
) -> str:
    """Returns a new password in NFKC. Raises InvalidParams, which names the rule that it breaks.

    `frequent` are passwords that attackers try first, in lower case; `personal` are the e-mail address, the names and
    the tenant of the user.
    """
    password = normalize_password(text)
    if len(password) < minimum:
        raise _refuse(
            f"has fewer than {minimum} characters",
            "several words with blanks are easy to remember",
            field,
            ErrorReason("min_length", min=minimum),
        )
    folded = password.casefold()
    if _has_short_period(folded):
        reason = ErrorReason("password_repetitive")
        raise _refuse("repeats one character or a short sequence", "use several different words", field, reason)
    if any(folded in sequence or folded in sequence[::-1] for sequence in _SEQUENCES):
        reason = ErrorReason("password_sequence")
        raise _refuse("is a sequence of neighbouring characters", "use several different words", field, reason)
    if _count_without_personal(folded, personal) < minimum // 2:
        reason = ErrorReason("password_personal")
        rule = "consists of the e-mail address, a name or the tenant"
        raise _refuse(rule, "use words that are not about you", field, reason)
    if folded in frequent or folded.strip("0123456789!?.,:;*+-_#$%&@/ ") in frequent:
        reason = ErrorReason("password_frequent")
        rule = "is one that attackers try first"
        raise _refuse(rule, "use several words that do not belong together", field, reason)
    return password


def _refuse(text: str, hint: str, field: str, reason: ErrorReason) -> InvalidParams:
    return InvalidParams(f"the password {text}", field=field, hint=hint, reason=reason)


def _has_short_period(text: str) -> bool:
    """Whether the text repeats a part of at most half its length: `abcabcab` repeats `abc`."""
    return any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1))


def _count_without_personal(folded: str, personal: Iterable[str]) -> int:
    """Returns the number of visible characters that are left without the personal words."""
    words = {word for text in personal for word in (text.casefold(), *text.casefold().replace("@", ".").split("."))}
    left = folded
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= _PERSONAL_CHARACTERS:
            left = left.replace(word, "")
    return len(left.replace(" ", ""))
