"""The record tables on DynamoDB, with their indexes and streams."""

import asyncio
from typing import Any

from shared.domain.records import Table
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import Dynamo
from shared.stores.dynamodb.items import PARTITION, SORT, index_partition, index_sort
from shared.stores.dynamodb.tables import make_table


async def create_record_tables(dynamo: Dynamo, tables: Tables) -> list[str]:
    """Makes every table and index that is not there; gives what was made. Raises StoreError."""
    definitions = [_definition(dynamo.settings.prefix + table.name, table) for table in tables.values()]
    made = await asyncio.gather(*(make_table(dynamo, definition) for definition in definitions))
    return [name for names in made for name in names]


def _definition(name: str, table: Table) -> dict[str, Any]:
    keys = [{"AttributeName": PARTITION, "KeyType": "HASH"}]
    if table.sort is not None:
        keys.append({"AttributeName": SORT, "KeyType": "RANGE"})
    attributes = [key["AttributeName"] for key in keys]
    for index in table.indexes:
        attributes += [index_partition(index.name), index_sort(index.name)]
    definition: dict[str, Any] = {
        "TableName": name,
        "KeySchema": keys,
        "AttributeDefinitions": [{"AttributeName": member, "AttributeType": "S"} for member in attributes],
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index(index.name) for index in table.indexes]
    if table.feed:
        definition["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    return definition


def _index(name: str) -> dict[str, Any]:
    keys = [(index_partition(name), "HASH"), (index_sort(name), "RANGE")]
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": member, "KeyType": kind} for member, kind in keys],
        "Projection": {"ProjectionType": "ALL"},
    }
