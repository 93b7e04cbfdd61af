"""The order tables on DynamoDB.

Sequences come in blocks of `BLOCK`, each of which belongs to one server at a time. Orders are stored by the
chunk: up to `CHUNK_ORDERS` that were accepted together are one item, and what has happened to them another.
An item costs by the kilobyte, a small one as much as a full one.
"""

from typing import Any

from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.tables import expire_items, make_table

BLOCK = 8192
"""Sequences of a block."""
CHUNK_ORDERS = 256
CHUNK_BYTES = 128 * 1024
"""A chunk ends with the order that would make it larger, unless it is alone in it."""

ORDERS = "Orders"
"""By block and first sequence: the documents of a chunk."""
PROGRESS = "OrderProgress"
"""By the same key: what has happened to the orders of a chunk."""
KEYS = "OrderKeys"
"""By `request_id` and client: which order has it."""
EXPIRY = "e"
"""When an item of `KEYS` may be removed, in seconds since the epoch: the table's time to live."""
ATTEMPTS = "OrderAttempts"
"""By sequence and attempt: what failed attempts have left behind."""
SERVERS = "OrderServers"
"""The intakes that live, with the blocks that are theirs, and the item of what they share."""


async def create_order_tables(dynamo: DynamoClient) -> list[str]:
    """Makes every table that is not there; gives what was made. Raises StoreError."""
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
    """Has the table of keys remove those that have expired. Raises StoreError."""
    await expire_items(dynamo, dynamo.settings.prefix + KEYS, EXPIRY)


def _table_definition(name: str, keys: dict[str, str]) -> dict[str, Any]:
    kinds = ("HASH", "RANGE")
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, kinds, strict=False)],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
    }
