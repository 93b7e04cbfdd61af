"""The normal form of names of customers, stores and products, used to compare them.

People type one name in many ways: composed or decomposed accents, a trailing blank, a no-break space, another case, a
zero-width character that came along from a web page. A name that is a key is compared in its normal form; the name as
it was sent is kept for showing.
"""

import re
import unicodedata
from functools import lru_cache

# Format characters (category Cf), variation selectors and fillers: they take no room on a screen, so two names that
# differ in them look the same.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
SEPARATOR = "\x1f"
"""Separates the names in a key that consists of several."""
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def name_key(name: str) -> str:
    r"""Returns the normal form of a name: NFC, without invisible characters, blanks collapsed and trimmed, case folded.

    Two names are the same exactly when their keys are equal:

    >>> name_key("Cafe\u0301 ") == name_key("CAF\u00c9") == "caf\u00e9"
    True
    >>> name_key("Echo\u00a0 Dot\u200b")
    'echo dot'

    The key of a key is the key itself. It is empty for a name without a visible character.
    """
    if name.isascii():
        return " ".join(_CONTROL.sub("", name).lower().split())
    # Folding comes between two normalisations: it can take letters apart, and composed letters fold together only
    # once they are composed alike.
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    visible = _CONTROL.sub("", INVISIBLE.sub("", folded))
    return unicodedata.normalize("NFC", " ".join(visible.split()))


@lru_cache(maxsize=20_000)
def recent_name_key(name: str) -> str:
    """Returns `name_key` from a cache, for names that recur often, such as those of customers."""
    return name_key(name)


def is_same_name(one: str, other: str) -> bool:
    """Whether two spellings are the same name."""
    return one == other or recent_name_key(one) == recent_name_key(other)


@lru_cache(maxsize=16_384)
def fold_names(text: str) -> str:
    r"""Returns the normal form of a name, or of each of several names that are joined by `SEPARATOR`.

    A cache keeps recent results, since orders contain the same few names.

    >>> fold_names("Berlin\x1fEcho  Dot")
    'berlin\x1fecho dot'
    """
    return SEPARATOR.join(map(name_key, text.split(SEPARATOR)))
