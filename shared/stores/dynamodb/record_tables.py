"""The record tables on DynamoDB: made with their indexes and streams, as often as one likes."""

import asyncio
from typing import Any

from shared.domain.errors import StoreError
from shared.domain.records import Table
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import Dynamo
from shared.stores.dynamodb.items import PARTITION, SORT, index_partition, index_sort

_PAUSE = 0.2


async def create_tables(dynamo: Dynamo, tables: Tables) -> list[str]:
    """Makes every table that is not there, and adds indexes that are missing; gives what was made.

    Raises StoreError.
    """
    made: list[str] = []
    for table in tables.values():
        name = dynamo.settings.prefix + table.name
        found = await _describe(dynamo, name)
        if found is None:
            await dynamo.call("create_table", **_definition(name, table))
            made.append(name)
            found = await _active(dynamo, name)
        known = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
        for index in table.indexes:
            if index.name not in known:
                # DynamoDB builds one index at a time.
                update = {"Create": _index(index.name)}
                definitions = _attributes(table)
                await dynamo.call(
                    "update_table",
                    TableName=name,
                    AttributeDefinitions=definitions,
                    GlobalSecondaryIndexUpdates=[update],
                )
                await _active(dynamo, name)
                made.append(f"{name}/{index.name}")
    return made


async def _describe(dynamo: Dynamo, name: str) -> dict[str, Any] | None:
    try:
        answer = await dynamo.call("describe_table", TableName=name)
    except StoreError as error:
        if "ResourceNotFoundException" in error.message:
            return None
        raise
    table: dict[str, Any] = answer["Table"]
    return table


async def _active(dynamo: Dynamo, name: str) -> dict[str, Any]:
    """Waits until a table and its indexes can be used."""
    while True:
        table = await _describe(dynamo, name)
        parts = [] if table is None else [table, *table.get("GlobalSecondaryIndexes", [])]
        if table is not None and all(
            part.get("TableStatus", part.get("IndexStatus", "ACTIVE")) == "ACTIVE" for part in parts
        ):
            return table
        await asyncio.sleep(_PAUSE)


def _definition(name: str, table: Table) -> dict[str, Any]:
    keys = [{"AttributeName": PARTITION, "KeyType": "HASH"}]
    if table.sort is not None:
        keys.append({"AttributeName": SORT, "KeyType": "RANGE"})
    definition: dict[str, Any] = {
        "TableName": name,
        "KeySchema": keys,
        "AttributeDefinitions": _attributes(table),
        "BillingMode": "PAY_PER_REQUEST",
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index(index.name) for index in table.indexes]
    if table.feed:
        definition["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    return definition


def _attributes(table: Table) -> list[dict[str, str]]:
    names = [PARTITION] if table.sort is None else [PARTITION, SORT]
    for index in table.indexes:
        names += [index_partition(index.name), index_sort(index.name)]
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def _index(name: str) -> dict[str, Any]:
    keys = [(index_partition(name), "HASH"), (index_sort(name), "RANGE")]
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": member, "KeyType": kind} for member, kind in keys],
        "Projection": {"ProjectionType": "ALL"},
    }
