"""Merging of items that were stored when each spelling of a name was a separate key.

Each store migrates them to the current keys once, before it is used.
"""

from shared.domain.records import Item, Record, Table
from shared.domain.stock import Cause
from shared.domain.tables import STOCK, STORES
from shared.runtime.clock import iso_now

_ADDED = {STOCK.name: ("count",), STORES.name: ("items", "units", "low")}
_APART = "+"


def merge_records(table: Table, kept: Record, other: Record) -> Record | None:
    """Returns the merged record of two with the same name: the first, with the sums of both.

    Returns None if both remain because their keys also differ in a member that is not a name; `separate_key` then makes
    the key of the other.
    """
    if table.sort is not None and table.sort not in table.folded:
        return None
    item = dict(kept.item)
    for member in _ADDED.get(table.name, ()):
        numbers = [one.item.get(member, 0) for one in (kept, other)]
        if all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            item[member] = sum(numbers)
    if table.name == STOCK.name:
        now = iso_now()
        item |= {"cause": Cause.CORRECTION.value, "reference": None, "changed": now}
    return Record(item, max(kept.version, other.version) + 1)


def separate_key(table: Table, item: Item) -> Item:
    """Returns the item with another key that sorts immediately after its own."""
    assert table.sort is not None
    return item | {table.sort: f"{item[table.sort]}{_APART}"}
