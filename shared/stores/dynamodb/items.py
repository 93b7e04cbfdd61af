"""How a record stands in a table of DynamoDB: its members as they are, and beside them the store's own."""

import time
from typing import Any

from shared.domain.records import RESERVED, Record, Table
from shared.stores.dynamodb.values import AttributeValue, from_item, from_value, to_item, to_value
from shared.stores.keys import index_keys, partition_text, tenant_of

Raw = dict[str, AttributeValue]
"""An item as DynamoDB has it."""

PARTITION = "comanda:p"
SORT = "comanda:s"
VERSION = "comanda:v"
WRITE = "comanda:w"
"""Which write an item is from."""
MOVED = "migration"
"""The write of items that came from another store: they are not new to anybody."""
RENAMED = "renamed:"
"""Names of writes that only give an item another key begin so: no change is told of."""
GONE = "comanda:x"
"""Of an item that was removed: until when its place is kept, in seconds since the epoch. DynamoDB clears it then.

Until then its version is known here, so that what comes in its place begins behind it; from then on the highest version
that was removed from the table says so (`shared.stores.dynamodb.removals`).
"""
KEPT_SECONDS = 24 * 60 * 60


def key_names(table: Table) -> list[str]:
    """Returns the members of a table's key: one that is its partition alone, or two."""
    if table.own_key:
        return [table.partition]
    return [PARTITION] if table.sort is None else [PARTITION, SORT]


def index_partition(name: str) -> str:
    """The member with an item's partition in an index."""
    return f"comanda:{name}:p"


def index_sort(name: str) -> str:
    """The member with an item's sort key in an index."""
    return f"comanda:{name}:s"


def raw_key(table: Table, partition: str, sort: str) -> Raw:
    """The key of an item."""
    if table.own_key:
        return {table.partition: to_value(partition_text(partition))}
    key = {PARTITION: to_value(partition)}
    if table.sort is not None:
        key[SORT] = to_value(sort)
    return key


def raw_item(table: Table, partition: str, sort: str, record: Record, write: str) -> Raw:
    """A record with its keys, and the name of the write that it is from."""
    # Where other programs find it under its own key, the store finds it under PARTITION all the same, in the feed too.
    raw = to_item(record.item) | {PARTITION: to_value(partition)} | raw_key(table, partition, sort)
    raw[VERSION], raw[WRITE] = to_value(record.version), to_value(write)
    for index in table.indexes:
        if (place := index_keys(table, index, tenant_of(partition), record.item)) is not None:
            raw[index_partition(index.name)], raw[index_sort(index.name)] = map(to_value, place)
    return raw


def removed_item(table: Table, partition: str, sort: str, version: int, write: str, *, until: int | None = None) -> Raw:
    """What stands in the place of a record that was removed in this version, for a day unless `until` is given."""
    gone = {VERSION: version, WRITE: write, GONE: until or int(time.time()) + KEPT_SECONDS}
    return {PARTITION: to_value(partition)} | raw_key(table, partition, sort) | to_item(gone)


def record_of(raw: Raw | None) -> Record | None:
    """The record that an item holds; None where there is none any more."""
    if raw is None or GONE in raw:
        return None
    item = from_item({name: value for name, value in raw.items() if not name.startswith(RESERVED)})
    return Record(item, from_value(raw[VERSION]))


def text_member(raw: Raw, member: str) -> str:
    """A member that is text; empty where it is missing."""
    held: dict[str, Any] = raw.get(member, {})
    return str(held.get("S", ""))
