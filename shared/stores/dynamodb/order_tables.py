"""The order tables on DynamoDB.

Sequences are divided into blocks of `BLOCK`, each owned by one server at a time. Orders are stored in chunks: up to
`CHUNK_ORDERS` orders that were accepted together are one item, and their progress is another. The cost of an item
depends on its size in kilobytes, rounded up.
"""

from typing import Any

from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.tables import expire_items, make_table

BLOCK = 8192
"""Sequences of a block."""
CHUNK_ORDERS = 256
CHUNK_BYTES = 128 * 1024
"""Maximum size of the documents of a chunk, unless it has only one order."""

ORDERS = "Orders"
"""Documents of a chunk, by block and first sequence."""
PROGRESS = "OrderProgress"
"""Progress of the orders of a chunk, by block and first sequence."""
KEYS = "OrderKeys"
"""Orders by idempotency key: `request_id` and client."""
EXPIRY = "e"
"""The member of `KEYS` with the time to live, in seconds since the epoch."""
ATTEMPTS = "OrderAttempts"
"""Failed attempts, by sequence and attempt."""
SERVERS = "OrderServers"
"""Live intakes with the blocks that they own, and the item with their shared state."""


async def create_order_tables(dynamo: DynamoClient) -> list[str]:
    """Creates missing tables; returns the names of created tables. Raises StoreError."""
    made: list[str] = []
    for name, keys in (
        (ORDERS, {"b": "N", "s": "N"}),
        (PROGRESS, {"b": "N", "s": "N"}),
        (KEYS, {"k": "S"}),
        (ATTEMPTS, {"s": "N", "a": "N"}),
        (SERVERS, {"kind": "S", "id": "S"}),
    ):
        made += await make_table(dynamo, _table_definition(dynamo.settings.prefix + name, keys))
    return made


async def expire_keys(dynamo: DynamoClient) -> None:
    """Enables the time to live of the table of keys. Raises StoreError."""
    await expire_items(dynamo, dynamo.settings.prefix + KEYS, EXPIRY)


def _table_definition(name: str, keys: dict[str, str]) -> dict[str, Any]:
    kinds = ("HASH", "RANGE")
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, kinds, strict=False)],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
    }
