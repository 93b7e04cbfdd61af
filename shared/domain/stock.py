"""What stock is: a count of an item in a store, why it changes, and when it is low."""

import enum
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.domain.errors import InvalidParams
from shared.domain.names import SEPARATOR, fold_names
from shared.domain.records import MAX_PARTITION_BYTES

MAX_COUNT = 1_000_000_000
MAX_STORE_CHARACTERS = 100
MAX_STORE_BYTES = 300
MAX_ITEM_CHARACTERS = 200
MAX_ITEM_BYTES = 500
"""An item is a sort key, and those have at most 512 bytes."""

UNFIT = re.compile("[\0-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ufffd]")
"""What no name has: characters that steer or are not seen, and what stands for one that was lost."""


class Cause(enum.StrEnum):
    """Why a count has changed; the value is its name on the wire."""

    IMPORT = "import"
    UNDO = "undo"
    ORDER = "order"
    RELEASE = "release"
    EDIT = "edit"
    REMOVAL = "removal"
    CORRECTION = "correction"
    """What was changed while nobody could see it."""
    CARRIED = "carried"
    """The sum of older movements, which are not kept."""


class ImportState(enum.StrEnum):
    """How far an import is: from `accepted` on it will be applied as a whole, whatever happens."""

    STAGED = "staged"
    ACCEPTED = "accepted"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


class AlertState(enum.StrEnum):
    """An alert is `open` until somebody has acknowledged it, and `closed` when there is enough again."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Levels(NamedTuple):
    """An item is low with a count below `low`; the next alert needs a count of `low + margin` in between.

    The margin is hysteresis: without it, a count that goes up and down by one would fire each time.
    """

    low: int
    margin: int

    def is_low(self, count: int) -> bool:
        """Whether a count is low."""
        return count < self.low

    def is_enough(self, count: int) -> bool:
        """Whether a count ends an alert, so that the next time it is low is a new one."""
        return count >= self.low + self.margin


def count_of(item: Mapping[str, Any] | None) -> int | None:
    """How many there are by a record of `Stock`; None where it is not there, or is none.

    What is written by hand past every service may be anything: without a whole number for its count, or with names
    so long that nothing could be told of it, it does not count.
    """
    if item is None:
        return None
    count = item.get("count")
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    ledger = ledger_of(item["store"], item["item"])
    # The key of the ledger is its folded form, which may be longer.
    size = max(len(ledger.encode()), len(fold_names(ledger).encode()))
    return count if size <= MAX_PARTITION_BYTES else None


def ledger_of(store: str, item: str) -> str:
    """The partition in which the movements of an item are; names have no control characters."""
    return f"{store}{SEPARATOR}{item}"


def check_store(name: str) -> str:
    """The name of a store in the one form in which it is kept. Raises InvalidParams."""
    return _check_name(name, "store", MAX_STORE_CHARACTERS, MAX_STORE_BYTES)


def check_item(name: str) -> str:
    """The name of an item, likewise."""
    return _check_name(name, "item", MAX_ITEM_CHARACTERS, MAX_ITEM_BYTES)


def _check_name(name: str, field: str, characters: int, size: int) -> str:
    name = unicodedata.normalize("NFC", name.strip())
    if not name:
        raise InvalidParams(f"{field} must not be blank", field=field)
    if unfit := UNFIT.search(name):
        raise InvalidParams(f"{field} has the character U+{ord(unfit[0]):04X}", field=field, hint="leave it out")
    folded = fold_names(name)
    if not folded:
        raise InvalidParams(f"{field} has no visible character", field=field)
    if len(name) > characters or max(len(name.encode()), len(folded.encode())) > size:
        raise InvalidParams(f"{field} has more than {characters} characters, or more than {size} bytes", field=field)
    return name
