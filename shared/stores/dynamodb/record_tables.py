"""The record tables on DynamoDB, with their indexes and streams."""

import asyncio
from typing import Any

import msgspec
import structlog

from shared.domain.records import Table
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.items import GONE, index_partition, index_sort, key_names
from shared.stores.dynamodb.key_migration import fold_keys
from shared.stores.dynamodb.tables import describe_table, expire_items, make_table


async def find_keys(dynamo: DynamoClient, tables: Tables) -> Tables:
    """Returns the tables with their actual keys: tables created before November 2026 have the store's key.

    Raises StoreError.
    """
    found = list(tables.values())
    for place, table in enumerate(found):
        if table.own_key and (known := await describe_table(dynamo, dynamo.settings.prefix + table.name)) is not None:
            names = [key["AttributeName"] for key in known["KeySchema"]]
            if names != key_names(table):
                structlog.get_logger().info(
                    "older_table_key",
                    table=known["TableName"],
                    key=names[0],
                    hint="migrate to have it under its own key",
                )
                found[place] = msgspec.structs.replace(table, own_key=False)
    return Tables(*found)


async def create_record_tables(dynamo: DynamoClient, tables: Tables) -> list[str]:
    """Creates missing tables and indexes, and migrates items of older tables; returns the names of what was created.

    Raises StoreError.
    """
    definitions = [_table_definition(dynamo.settings.prefix + table.name, table) for table in tables.values()]
    made = await asyncio.gather(*(make_table(dynamo, definition) for definition in definitions))
    await asyncio.gather(*(expire_items(dynamo, definition["TableName"], GONE) for definition in definitions))
    await fold_keys(dynamo, tables, found := [name for names in made for name in names])
    return found


def _table_definition(name: str, table: Table) -> dict[str, Any]:
    attributes = key_names(table)
    keys = [
        {"AttributeName": member, "KeyType": kind} for member, kind in zip(attributes, ("HASH", "RANGE"), strict=False)
    ]
    for index in table.indexes:
        attributes += [index_partition(index.name), index_sort(index.name)]
    definition: dict[str, Any] = {
        "TableName": name,
        "KeySchema": keys,
        "AttributeDefinitions": [{"AttributeName": member, "AttributeType": "S"} for member in attributes],
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index_definition(index.name) for index in table.indexes]
    if table.feed:
        definition["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    return definition


def _index_definition(name: str) -> dict[str, Any]:
    keys = [(index_partition(name), "HASH"), (index_sort(name), "RANGE")]
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": member, "KeyType": kind} for member, kind in keys],
        "Projection": {"ProjectionType": "ALL"},
    }
