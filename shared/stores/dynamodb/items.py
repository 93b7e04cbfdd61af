"""Items of DynamoDB: the members of a record, and the members that the store adds."""

import math
import time
from typing import Any

from shared.domain.records import RESERVED, Record, Table, is_number
from shared.stores.dynamodb.values import AttributeValue, from_item, from_value, to_item, to_value
from shared.stores.keys import index_keys, partition_text, tenant_of

Raw = dict[str, AttributeValue]
"""An item in the format of DynamoDB."""

PARTITION = "comanda:p"
SORT = "comanda:s"
VERSION = "comanda:v"
WRITE = "comanda:w"
"""The token of the write that stored an item."""
MOVED = "migration"
"""The token of items from another store, which the feed leaves out."""
RENAMED = "renamed:"
"""Prefix of the tokens of writes that only change the key of an item, which the feed leaves out."""
GONE = "comanda:x"
"""The expiry of a removed item's mark, in seconds since the epoch; then DynamoDB deletes the mark.

Until then the mark has the removed version, so that a new item gets a higher one; afterwards the highest removed
version of the table is used (`shared.stores.dynamodb.removals`).
"""
EXPIRES = "comanda:e"
"""True in an item that expires. Its expiry is in `GONE` as well, since a table has one time to live."""
KEPT_SECONDS = 24 * 60 * 60


def key_names(table: Table) -> list[str]:
    """Returns the members of a table's key: the partition, or partition and sort key."""
    if table.own_key:
        return [table.partition]
    return [PARTITION] if table.sort is None else [PARTITION, SORT]


def index_partition(name: str) -> str:
    """Returns the member with an item's partition in an index."""
    return f"comanda:{name}:p"


def index_sort(name: str) -> str:
    """Returns the member with an item's sort key in an index."""
    return f"comanda:{name}:s"


def raw_key(table: Table, partition: str, sort: str) -> Raw:
    """Returns the key of an item."""
    if table.own_key:
        return {table.partition: to_value(partition_text(partition))}
    key = {PARTITION: to_value(partition)}
    if table.sort is not None:
        key[SORT] = to_value(sort)
    return key


def raw_item(table: Table, partition: str, sort: str, record: Record, write: str) -> Raw:
    """Returns a record with its keys and the token of its write."""
    # A table with its own key for other programs has PARTITION as well, which the store and the feed use.
    raw = to_item(record.item) | {PARTITION: to_value(partition)} | raw_key(table, partition, sort)
    raw[VERSION], raw[WRITE] = to_value(record.version), to_value(write)
    for index in table.indexes:
        if (place := index_keys(table, index, tenant_of(partition), record.item)) is not None:
            raw[index_partition(index.name)], raw[index_sort(index.name)] = map(to_value, place)
    if table.expires is not None and is_number(expires := record.item.get(table.expires)):
        raw[EXPIRES], raw[GONE] = to_value(True), to_value(math.ceil(expires))
    return raw


def removed_item(table: Table, partition: str, sort: str, version: int, write: str, *, until: int | None = None) -> Raw:
    """Returns the mark of a record that was removed at this version, valid for a day or until `until`."""
    gone = {VERSION: version, WRITE: write, GONE: until or int(time.time()) + KEPT_SECONDS}
    return {PARTITION: to_value(partition)} | raw_key(table, partition, sort) | to_item(gone)


def record_of(raw: Raw | None) -> Record | None:
    """Returns the record of an item, even if it has expired; None if it was removed."""
    if raw is None or (GONE in raw and EXPIRES not in raw):
        return None
    item = from_item({name: value for name, value in raw.items() if not name.startswith(RESERVED)})
    return Record(item, from_value(raw[VERSION]))


def live_record(table: Table, raw: Raw | None) -> Record | None:
    """Returns the record of an item; None if it was removed or has expired."""
    record = record_of(raw)
    return None if record is not None and table.has_expired(record.item, time.time()) else record


def text_member(raw: Raw, member: str) -> str:
    """Returns a member that is text; empty if it is missing."""
    held: dict[str, Any] = raw.get(member, {})
    return str(held.get("S", ""))
