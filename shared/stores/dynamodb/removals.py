"""The highest removed versions of each table, by bucket of keys; versions of new records are higher.

The removal of a record first raises the version of its bucket, then replaces the record with a mark that has its
version. So the bucket is only needed if there is no mark, and can be cached: marks stay for a day
(`items.KEPT_SECONDS`) and the cache for a minute, so the cache includes every removal whose mark has expired.
"""

import asyncio
import contextlib
from typing import Any, NamedTuple

from shared.domain.records import Table
from shared.domain.tables import REMOVALS
from shared.stores.dynamodb.client import ConditionFailed, DynamoClient
from shared.stores.dynamodb.items import PARTITION, VERSION, WRITE, raw_key
from shared.stores.dynamodb.values import from_value, to_item
from shared.stores.keys import bucket_of, item_keys, partition_key
from shared.stores.ports.records import STORE_TENANT

_REMEMBERED_SECONDS = 60.0
_WRITE = "removals"


class _KnownVersions(NamedTuple):
    """The versions of a table by bucket, and the time of reading in the loop's time."""

    versions: dict[int, int]
    at: float


class RemovalVersions:
    """Reads and raises the highest removed versions of all tables."""

    def __init__(self, dynamo: DynamoClient) -> None:
        self._dynamo = dynamo
        self._known: dict[str, _KnownVersions] = {}
        self._reading = asyncio.Lock()

    async def highest_version(self, table: Table, partition: str, sort: str, by: float) -> int:
        """Returns the highest version that may have been removed from a key; 0 if there is none. Raises StoreError."""
        return (await self._table_versions(table, by)).get(bucket_of(partition, sort), 0)

    async def raise_version(self, table: Table, partition: str, sort: str, version: int, by: float) -> None:
        """Raises the version of a record's bucket before its removal. Raises StoreError."""
        bucket = bucket_of(partition, sort)
        versions = await self._table_versions(table, by)
        if versions.get(bucket, 0) >= version:
            return
        key = {"table": table.name, "bucket": bucket}
        with contextlib.suppress(ConditionFailed):
            await self._dynamo.call(
                "update_item",
                by=by,
                TableName=self._dynamo.settings.prefix + REMOVALS.name,
                Key=raw_key(REMOVALS, *item_keys(REMOVALS, STORE_TENANT, key)),
                UpdateExpression="SET #t = :t, #b = :b, #n = :v, #v = :v, #w = :w",
                ConditionExpression="attribute_not_exists(#n) OR #n < :v",
                ExpressionAttributeNames={"#t": "table", "#b": "bucket", "#n": "version", "#v": VERSION, "#w": WRITE},
                ExpressionAttributeValues=to_item({":t": table.name, ":b": bucket, ":v": version, ":w": _WRITE}),
            )
        versions[bucket] = max(version, versions.get(bucket, 0))

    async def _table_versions(self, table: Table, by: float) -> dict[int, int]:
        if (known := self._recent_versions(table)) is not None:
            return known
        # All transactions of a turn need them at once: one reads them.
        async with self._reading:
            if (known := self._recent_versions(table)) is None:
                now = asyncio.get_running_loop().time()
                known = await self._read_versions(table, by)
                self._known[table.name] = _KnownVersions(known, now)
        return known

    def _recent_versions(self, table: Table) -> dict[int, int] | None:
        found = self._known.get(table.name)
        now = asyncio.get_running_loop().time()
        return None if found is None or now - found.at >= _REMEMBERED_SECONDS else found.versions

    async def _read_versions(self, table: Table, by: float) -> dict[int, int]:
        """Reads the versions of a table: at most a thousand small items, so one or two pages."""
        versions: dict[int, int] = {}
        start: dict[str, Any] = {}
        while True:
            answer = await self._dynamo.call(
                "query",
                by=by,
                TableName=self._dynamo.settings.prefix + REMOVALS.name,
                KeyConditionExpression="#p = :p",
                ExpressionAttributeNames={"#p": PARTITION},
                ExpressionAttributeValues=to_item({":p": partition_key(STORE_TENANT, table.name)}),
                ConsistentRead=True,
                **start,
            )
            versions |= {from_value(item["bucket"]): from_value(item["version"]) for item in answer["Items"]}
            if (last := answer.get("LastEvaluatedKey")) is None:
                return versions
            start = {"ExclusiveStartKey": last}
