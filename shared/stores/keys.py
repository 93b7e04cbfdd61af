"""Encodes keys as text whose byte order is the order of the values, the same on every store."""

from decimal import Decimal
from zlib import crc32

from msgspec.structs import replace

from shared.domain.names import SEPARATOR, fold_names
from shared.domain.records import Index, Item, Key, Table, Value, is_number
from shared.stores.ports.records import RecordQuery

_BIAS = 500
_BUCKETS = 1024
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
ALL = ""
"""The partition of an index over all items of a tenant."""


def partition_key(tenant: str, value: Value) -> str:
    """Returns a tenant's partition; names of tenants contain no separator."""
    return f"{tenant}{SEPARATOR}{key_text(value)}"


def tenant_of(partition: str) -> str:
    """Returns the tenant of a partition."""
    return partition.partition(SEPARATOR)[0]


def partition_text(partition: str) -> str:
    """Returns a partition without the tenant."""
    return partition.partition(SEPARATOR)[2]


def item_keys(table: Table, tenant: str, key: Key) -> tuple[str, str]:
    """Returns partition and sort key of an item; the sort key is empty if the table has none."""
    partition = partition_key(tenant, _fold_member(table, table.partition, key[table.partition]))
    return partition, "" if table.sort is None else key_text(_fold_member(table, table.sort, key[table.sort]))


def index_keys(table: Table, index: Index, tenant: str, item: Item) -> tuple[str, str] | None:
    """Returns partition and sort key of an item in an index; None if the index does not include the item."""
    if index.sort not in item:
        return None
    sort = key_text(_fold_member(table, index.sort, item[index.sort]))
    if index.partition is None:
        return partition_key(tenant, ALL), sort
    if index.partition not in item:
        return None
    return partition_key(tenant, _fold_member(table, index.partition, item[index.partition])), sort


def expiry_keys(table: Table, item: Item) -> tuple[str, str] | None:
    """Returns partition and sort key of an item in the order of expiry over all tenants; None if it does not expire."""
    value = None if table.expires is None else item.get(table.expires)
    return (ALL, key_text(value)) if is_number(value) else None


def is_at_same_place(index: Index, one: Item, other: Item) -> bool:
    """Whether two versions of an item certainly have the same keys in an index; cheaper than building the keys."""
    if one.get(index.sort) != other.get(index.sort):
        return False
    return index.partition is None or one.get(index.partition) == other.get(index.partition)


def bucket_of(partition: str, sort: str) -> int:
    """Returns the bucket of a key in `REMOVALS`; there are few enough buckets to keep all of them in memory."""
    return crc32(f"{partition}{SEPARATOR}{sort}".encode()) % _BUCKETS


def fold_query(table: Table, query: RecordQuery) -> RecordQuery:
    """Returns the query with its names in normal form. Raises InvalidParams for an unknown index."""
    if not table.folded:
        return query
    ordered: Table | Index = table if query.index is None else table.get_index(query.index)
    partition, sort = ordered.partition or "", ordered.sort or ""
    return replace(
        query,
        partition=_fold_member(table, partition, query.partition),
        prefix=_fold_member(table, sort, query.prefix),
        low=_fold_member(table, sort, query.low),
        high=_fold_member(table, sort, query.high),
    )


def _fold_member(table: Table, member: str, value: Value) -> Value:
    return fold_names(value) if member in table.folded and isinstance(value, str) else value


def key_text(value: Value) -> str:
    """Returns text unchanged, and a number as sign, exponent and digits, so that smaller numbers sort first."""
    if isinstance(value, str):
        return value
    sign, digits, exponent = Decimal(value).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return "1"
    place = f"{len(text) + exponent + _BIAS:03d}"
    text = text.rstrip("0")
    if not sign:
        return f"2{place}{text}"
    # A negative number with more digits is smaller, so the end marker sorts after all digits.
    return f"0{(place + text).translate(_COMPLEMENT)}~"


def prefix_end(prefix: str) -> str:
    """Returns the first text after all texts with the prefix `prefix`; empty if there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            # Text contains no surrogates: the successor of U+D7FF is U+E000.
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return ""
