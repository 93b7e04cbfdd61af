"""Migrates the keys of items that were stored before names were folded, and fills indexes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from shared.domain.records import RESERVED, Index, Item, Record, Table
from shared.domain.tables import REMOVALS, Tables
from shared.runtime.clock import read_clock
from shared.stores.keys import bucket_of, expiry_keys, index_keys, item_keys, tenant_of
from shared.stores.name_merging import merge_records, separate_key
from shared.stores.ports.records import STORE_TENANT
from shared.stores.sqlite.database import Connection, Writer, translate_errors
from shared.stores.sqlite.record_changes import CHANGED, NO_IMAGE, decode_item

ENTER = "INSERT INTO entries VALUES (?, ?, ?, ?, ?)"
_FOLDED = "SELECT name FROM meta WHERE name LIKE 'folded:%'"
_ITEM = "SELECT version, document FROM items WHERE collection = ? AND partition = ? AND sort = ?"
_ITEMS = """
SELECT partition, sort, version, document FROM items
WHERE collection = ? AND (partition, sort) > (?, ?) ORDER BY partition, sort LIMIT ?"""
_PUT = "INSERT OR REPLACE INTO items (collection, partition, sort, version, document) VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM items WHERE collection = ? AND partition = ? AND sort = ?"
_ITEMS_AT_ONCE = 2000

_encode = msgspec.json.Encoder(decimal_format="number").encode


def fold_keys(writer: Writer, tables: Tables, names: Mapping[str, int]) -> None:
    """Migrates items with unfolded names in their keys, once for each table; `names` are the file's table numbers.

    Two items of the same name are merged (`shared.stores.name_merging`), with entries in the change feed. After an
    interruption the next start continues with the remaining items. Raises StoreError.
    """
    with translate_errors(writer.path):
        done = {name for (name,) in writer.connection.execute(_FOLDED)}
    for table in tables.values():
        mark = f"folded:{table.name}"
        if not table.folded or mark in done:
            continue
        moving = _KeyMigration(writer, table, names)
        moving.migrate_items()
        with writer.transaction(_ITEMS_AT_ONCE) as connection:
            for index in table.kept_indexes:
                connection.execute("DELETE FROM entries WHERE collection = ?", (names[f"{table.name}/{index.name}"],))
            fill_indexes(connection, table, table.kept_indexes, names)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, 1)", (mark,))
        if moving.moved:
            structlog.get_logger().info(
                "names_folded", table=table.name, moved=moving.moved, merged=moving.merged, path=writer.path.name
            )


def fill_indexes(connection: Connection, table: Table, indexes: Sequence[Index], names: Mapping[str, int]) -> None:
    """Adds every item of a table to empty indexes."""
    rows = connection.execute("SELECT partition, sort, document FROM items WHERE collection = ?", (names[table.name],))
    for partition, sort, document in rows:
        item, tenant = decode_item(document), tenant_of(partition)
        for index in indexes:
            if (place := index_keys(table, index, tenant, item)) is not None:
                number = names[f"{table.name}/{index.name}"]
                connection.execute(ENTER, (number, *place, partition, sort))


def expiry_name(table: Table) -> str:
    """Returns the name of the order of expiry of a table, which is stored like an index."""
    return f"{table.name}/{RESERVED}expires"


def fill_expiry(connection: Connection, table: Table, names: Mapping[str, int]) -> None:
    """Adds every item of a table to the empty order of expiry."""
    rows = connection.execute("SELECT partition, sort, document FROM items WHERE collection = ?", (names[table.name],))
    for partition, sort, document in rows:
        if (place := expiry_keys(table, decode_item(document))) is not None:
            connection.execute(ENTER, (names[expiry_name(table)], *place, partition, sort))


def floor_row(names: Mapping[str, int], table: str, bucket: int, version: int) -> tuple[int, str, str, int, str]:
    """Returns the row with the highest removed version of a bucket of a table."""
    item = {"table": table, "bucket": bucket, "version": version}
    return names[REMOVALS.name], *item_keys(REMOVALS, STORE_TENANT, item), version, _encode(item).decode()


class _FoundItem(NamedTuple):
    """An item with its key and its text."""

    keys: tuple[str, str]
    record: Record
    document: str


class _KeyMigration:
    """Migrates the items of one table in several transactions."""

    def __init__(self, writer: Writer, table: Table, names: Mapping[str, int]) -> None:
        self._writer = writer
        self._table = table
        self._number = names[table.name]
        self._numbers = names
        self.moved = 0
        self.merged = 0

    def migrate_items(self) -> None:
        """Migrates all items in the order of their keys."""
        after = ("", "")
        while True:
            with translate_errors(self._writer.path):
                rows = self._writer.connection.execute(_ITEMS, (self._number, *after, _ITEMS_AT_ONCE)).fetchall()
            if not rows:
                return
            with self._writer.transaction(_ITEMS_AT_ONCE) as connection:
                for partition, sort, version, document in rows:
                    record = Record(decode_item(document), version)
                    self._migrate_item(connection, _FoundItem((partition, sort), record, document))
            after = rows[-1][:2]

    def _migrate_item(self, connection: Connection, found: _FoundItem) -> None:
        tenant = tenant_of(found.keys[0])
        item = found.record.item
        keys = item_keys(self._table, tenant, item)
        if keys == found.keys:
            return
        self.moved += 1
        connection.execute(_DELETE, (self._number, *found.keys))
        while (other := self._find_item(connection, keys)) is not None:
            merged = merge_records(self._table, other.record, found.record)
            if merged is not None:
                self._merge_items(connection, found, other, merged)
                return
            item = separate_key(self._table, item)
            keys = item_keys(self._table, tenant, item)
        self._put_item(connection, keys, Record(item, found.record.version))

    def _find_item(self, connection: Connection, keys: tuple[str, str]) -> _FoundItem | None:
        row = connection.execute(_ITEM, (self._number, *keys)).fetchone()
        return None if row is None else _FoundItem(keys, Record(decode_item(row[1]), row[0]), row[1])

    def _put_item(self, connection: Connection, keys: tuple[str, str], record: Record) -> str:
        document = _encode(record.item).decode()
        connection.execute(_PUT, (self._number, *keys, record.version, document))
        return document

    def _merge_items(self, connection: Connection, gone: _FoundItem, kept: _FoundItem, merged: Record) -> None:
        document = self._put_item(connection, kept.keys, merged)
        self._raise_floor(connection, kept.keys, gone.record.version)
        self.merged += 1
        structlog.get_logger().warning(
            "names_merged",
            table=self._table.name,
            kept=_item_names(self._table, kept),
            other=_item_names(self._table, gone),
        )
        if self._table.feed:
            now = read_clock()
            partition = kept.keys[0]
            removed: tuple[Any, ...] = (gone.record.version, gone.document, *NO_IMAGE)
            changed: tuple[Any, ...] = (kept.record.version, kept.document, merged.version, document)
            for images in (removed, changed):
                connection.execute(CHANGED, (self._number, partition, now, *images))

    def _raise_floor(self, connection: Connection, keys: tuple[str, str], version: int) -> None:
        row = floor_row(self._numbers, self._table.name, bucket_of(*keys), version)
        known = connection.execute(_ITEM, row[:3]).fetchone()
        if known is None or known[0] < version:
            connection.execute(_PUT, row)


def _item_names(table: Table, found: _FoundItem) -> Item:
    return {name: found.record.item[name] for name in table.name_members}
