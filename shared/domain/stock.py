"""Stock: the count of an item in a store, causes of changes, and thresholds for low stock."""

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
"""An item is a sort key; sort keys have at most 512 bytes."""

UNFIT = re.compile("[\0-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ufffd]")
"""Characters that names must not contain: control and invisible characters, and the replacement character."""


class Cause(enum.StrEnum):
    """Causes of a change of a count; the value is the name on the wire."""

    IMPORT = "import"
    UNDO = "undo"
    ORDER = "order"
    RELEASE = "release"
    EDIT = "edit"
    REMOVAL = "removal"
    CORRECTION = "correction"
    """A change that was made outside the services."""
    CARRIED = "carried"
    """The sum of older movements that were deleted."""


class ImportState(enum.StrEnum):
    """States of an import; from `accepted` on it will be applied completely."""

    STAGED = "staged"
    ACCEPTED = "accepted"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


class AlertState(enum.StrEnum):
    """States of an alert: `open` until a user acknowledges it, `closed` when stock is sufficient again."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class StockThresholds(NamedTuple):
    """Thresholds of low stock: below `low` an alert opens; at `low + margin` it closes.

    The margin is hysteresis: without it, a count that oscillates by one would open a new alert each time.
    """

    low: int
    margin: int

    def is_low(self, count: int) -> bool:
        """Whether a count is low."""
        return count < self.low

    def is_enough(self, count: int) -> bool:
        """Whether a count closes an alert."""
        return count >= self.low + self.margin


def count_of(item: Mapping[str, Any] | None) -> int | None:
    """Returns the count of a record of `Stock`; None if there is no record or it is invalid.

    Records that other programs write directly may be invalid: their count may not be a whole number, or their names
    may be too long for the key of a movement.
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
    """Returns the partition of an item's movements; names have no control characters."""
    return f"{store}{SEPARATOR}{item}"


def check_store(name: str) -> str:
    """Returns the name of a store in the form in which it is stored. Raises InvalidParams."""
    return _check_name(name, "store", MAX_STORE_CHARACTERS, MAX_STORE_BYTES)


def check_item(name: str) -> str:
    """Returns the name of an item in the form in which it is stored. Raises InvalidParams."""
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
