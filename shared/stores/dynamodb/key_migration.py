"""Migrates the keys of items that were stored before names were folded."""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from shared.domain.records import Record, Table
from shared.domain.tables import REMOVALS, Tables
from shared.stores.dynamodb.client import ConditionFailed, DynamoClient
from shared.stores.dynamodb.items import (
    PARTITION,
    RENAMED,
    SORT,
    WRITE,
    Raw,
    raw_item,
    raw_key,
    record_of,
    removed_item,
    text_member,
)
from shared.stores.dynamodb.removals import RemovalVersions
from shared.stores.dynamodb.values import to_value
from shared.stores.keys import item_keys, tenant_of
from shared.stores.name_merging import merge_records, separate_key
from shared.stores.ports.records import STORE_TENANT

_ITEMS_AT_ONCE = 25
_FOR_EVER = 253_402_300_799
"""The end of the year 9999."""


async def fold_keys(dynamo: DynamoClient, tables: Tables, made: Sequence[str]) -> None:
    """Migrates items with unfolded names in their keys, once for each table; tables in `made` are new and have none.

    Two items of the same name are merged (`shared.stores.name_merging`). Several servers may migrate concurrently, and
    an interrupted migration can be resumed. Raises StoreError.
    """
    removals = RemovalVersions(dynamo)
    for table in tables.values():
        if not table.folded:
            continue
        name = f"folded:{table.name}"
        keys = item_keys(REMOVALS, STORE_TENANT, {"table": name, "bucket": 0})
        key = raw_key(REMOVALS, *keys)
        place: dict[str, Any] = {"TableName": dynamo.settings.prefix + REMOVALS.name, "Key": key}
        if "Item" in await dynamo.call("get_item", **place, ConsistentRead=True):
            continue
        if dynamo.settings.prefix + table.name not in made:
            moving = _KeyMigration(dynamo, table, removals)
            await moving.migrate_items()
            structlog.get_logger().info("names_folded", table=table.name, moved=moving.moved, merged=moving.merged)
        # A mark is not a record, so it is not moved to other stores.
        mark = removed_item(REMOVALS, *keys, 0, "folding", until=_FOR_EVER)
        await dynamo.call("put_item", TableName=place["TableName"], Item=mark)


class _FoundItem(NamedTuple):
    """An item with its record and the token of its write."""

    raw: Raw
    record: Record
    write: str


class _KeyMigration:
    """Migrates the items of one table."""

    def __init__(self, dynamo: DynamoClient, table: Table, removals: RemovalVersions) -> None:
        self._dynamo = dynamo
        self._table = table
        self._name = dynamo.settings.prefix + table.name
        self._removals = removals
        self.moved = 0
        self.merged = 0

    async def migrate_items(self) -> None:
        """Migrates all items, some at a time."""
        start: dict[str, Any] = {}
        while True:
            answer = await self._dynamo.call("scan", TableName=self._name, Limit=_ITEMS_AT_ONCE, **start)
            await asyncio.gather(*map(self._migrate_raw, answer["Items"]))
            if (last := answer.get("LastEvaluatedKey")) is None:
                return
            start = {"ExclusiveStartKey": last}

    async def _migrate_raw(self, raw: Raw) -> None:
        key = raw_key(self._table, text_member(raw, PARTITION), text_member(raw, SORT))
        found = _decode_found(raw)
        while found is not None:
            if item_keys(self._table, tenant_of(text_member(raw, PARTITION)), found.record.item) == _keys_of(found.raw):
                return
            with contextlib.suppress(ConditionFailed):
                await self._migrate_item(key, found)
                return
            found = _decode_found(await self._read_item(key))

    async def _migrate_item(self, key: Raw, found: _FoundItem) -> None:
        """Migrates an item, if it and the item at its new key have not changed since they were read."""
        item, tenant = found.record.item, tenant_of(text_member(found.raw, PARTITION))
        while True:
            keys = item_keys(self._table, tenant, item)
            raw = await self._read_item(raw_key(self._table, *keys))
            if (other := _decode_found(raw)) is None:
                break
            merged = merge_records(self._table, other.record, found.record)
            if merged is not None:
                await self._merge_items(key, found, other, merged)
                return
            item = separate_key(self._table, item)
        mark = f"{RENAMED}{uuid.uuid4().hex}"
        if self._table.feed:
            # The stream's record of the deletion then shows that the item has only moved.
            found = await self._mark_item(key, found, mark)
        new = raw_item(self._table, *keys, Record(item, found.record.version), mark)
        await self._replace_item(
            key, found, {"Item": new, **_unchanged_condition(None if raw is None else text_member(raw, WRITE))}
        )
        self.moved += 1

    async def _mark_item(self, key: Raw, found: _FoundItem, mark: str) -> _FoundItem:
        """Changes the token of an item."""
        await self._dynamo.call(
            "update_item",
            TableName=self._name,
            Key=key,
            UpdateExpression="SET #w = :m",
            ConditionExpression="#w = :w",
            ExpressionAttributeNames={"#w": WRITE},
            ExpressionAttributeValues={":w": to_value(found.write), ":m": to_value(mark)},
        )
        return found._replace(write=mark)

    async def _merge_items(self, key: Raw, gone: _FoundItem, kept: _FoundItem, merged: Record) -> None:
        if gone.write.startswith(RENAMED):
            # Its token says that it only moves, but it is removed now.
            gone = await self._mark_item(key, gone, uuid.uuid4().hex)
        await self._removals.raise_version(
            self._table, *_keys_of(kept.raw), gone.record.version, self._dynamo.next_deadline()
        )
        new = raw_item(self._table, *_keys_of(kept.raw), merged, uuid.uuid4().hex)
        await self._replace_item(key, gone, {"Item": new, **_unchanged_condition(kept.write)})
        self.merged += 1
        names = [{name: one.record.item[name] for name in self._table.name_members} for one in (kept, gone)]
        structlog.get_logger().warning("names_merged", table=self._table.name, kept=names[0], other=names[1])

    async def _replace_item(self, key: Raw, gone: _FoundItem, put: dict[str, Any]) -> None:
        delete = {"TableName": self._name, "Key": key, **_unchanged_condition(gone.write)}
        actions = [{"Put": {"TableName": self._name, **put}}, {"Delete": delete}]
        await self._dynamo.call("transact_write_items", TransactItems=actions)

    async def _read_item(self, key: Raw) -> Raw | None:
        answer = await self._dynamo.call("get_item", TableName=self._name, Key=key, ConsistentRead=True)
        item: Raw | None = answer.get("Item")
        return item


def _decode_found(raw: Raw | None) -> _FoundItem | None:
    record = record_of(raw)
    return None if raw is None or record is None else _FoundItem(raw, record, text_member(raw, WRITE))


def _keys_of(raw: Raw) -> tuple[str, str]:
    return text_member(raw, PARTITION), text_member(raw, SORT)


def _unchanged_condition(write: str | None) -> dict[str, Any]:
    """Returns the condition that an item is still from this write, or with None that there is no item."""
    if write is None:
        return {
            "ConditionExpression": "attribute_not_exists(#p)",
            "ExpressionAttributeNames": {"#p": PARTITION},
        }
    return {
        "ConditionExpression": "#w = :w",
        "ExpressionAttributeNames": {"#w": WRITE},
        "ExpressionAttributeValues": {":w": to_value(write)},
    }
