"""Creates missing tables and indexes on DynamoDB, and waits until they are active."""

import asyncio
from typing import Any

from shared.domain.errors import StoreError
from shared.stores.dynamodb.client import DynamoClient

_PAUSE = 0.2


async def make_table(dynamo: DynamoClient, definition: dict[str, Any]) -> list[str]:
    """Creates a table or its missing indexes; returns the names of what was created. Raises StoreError."""
    name = definition["TableName"]
    made: list[str] = []
    found = await describe_table(dynamo, name)
    if found is None:
        await dynamo.call("create_table", BillingMode="PAY_PER_REQUEST", **definition)
        made.append(name)
        found = await _wait_until_active(dynamo, name)
    known = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
    for index in definition.get("GlobalSecondaryIndexes", []):
        if index["IndexName"] not in known:
            # DynamoDB builds one index at a time.
            await dynamo.call(
                "update_table",
                TableName=name,
                AttributeDefinitions=definition["AttributeDefinitions"],
                GlobalSecondaryIndexUpdates=[{"Create": index}],
            )
            await _wait_until_active(dynamo, name)
            made.append(f"{name}/{index['IndexName']}")
    return made


async def expire_items(dynamo: DynamoClient, name: str, member: str) -> None:
    """Enables the time to live of a table, with the expiry in `member` in seconds since the epoch.

    Raises StoreError.
    """
    answer = await dynamo.call("describe_time_to_live", TableName=name)
    if answer["TimeToLiveDescription"].get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        setting = {"Enabled": True, "AttributeName": member}
        await dynamo.call("update_time_to_live", TableName=name, TimeToLiveSpecification=setting)


async def describe_table(dynamo: DynamoClient, name: str) -> dict[str, Any] | None:
    """Returns DynamoDB's description of a table; None if it does not exist. Raises StoreError."""
    try:
        answer = await dynamo.call("describe_table", TableName=name)
    except StoreError as error:
        if "ResourceNotFoundException" in error.message:
            return None
        raise
    table: dict[str, Any] = answer["Table"]
    return table


async def _wait_until_active(dynamo: DynamoClient, name: str) -> dict[str, Any]:
    """Waits until a table and its indexes are active; returns the description of the table."""
    while True:
        table = await describe_table(dynamo, name)
        parts = [] if table is None else [table, *table.get("GlobalSecondaryIndexes", [])]
        if table is not None and all(
            part.get("TableStatus", part.get("IndexStatus", "ACTIVE")) == "ACTIVE" for part in parts
        ):
            return table
        await asyncio.sleep(_PAUSE)
