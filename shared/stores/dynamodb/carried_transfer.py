"""Data of other stores besides orders and records, kept on DynamoDB only for a move back.

A page of rows is compressed and stored in one or more items.
"""

import zlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.tables import make_table
from shared.stores.ports.transfer import TransferredRow

CARRIED = "Carried"
_ITEM_BYTES = 350_000
_decode = msgspec.json.Decoder(list[TransferredRow]).decode


async def create_carried_table(dynamo: DynamoClient) -> None:
    """Creates the table if it is missing. Raises StoreError."""
    keys = (("n", "HASH"), ("p", "RANGE"))
    definition = {
        "TableName": dynamo.settings.prefix + CARRIED,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "N"} for name, _ in keys],
    }
    await make_table(dynamo, definition)


class DynamoCarriedTransfer:
    """Implements `CarriedTransfer`; the table has to exist."""

    def __init__(self, dynamo: DynamoClient) -> None:
        self._dynamo = dynamo
        self._table = dynamo.settings.prefix + CARRIED

    async def is_empty(self) -> bool:
        """See `CarriedTransfer.is_empty`."""
        return not (await self._dynamo.call("scan", TableName=self._table, Limit=1))["Items"]

    async def read_pages(self) -> AsyncIterator[list[TransferredRow]]:
        """See `CarriedTransfer.read_pages`."""
        page = 0
        while packed := await self._read_page(page):
            yield _decode(zlib.decompress(packed))
            page += 1

    async def _read_page(self, page: int) -> bytes:
        parts: list[bytes] = []
        while True:
            key = {"n": {"N": str(page)}, "p": {"N": str(len(parts))}}
            answer = await self._dynamo.call("get_item", TableName=self._table, Key=key, ConsistentRead=True)
            if (item := answer.get("Item")) is None:
                return b"".join(parts)
            parts.append(item["b"]["B"])

    async def write_page(self, page: int, rows: Sequence[TransferredRow]) -> None:
        """See `CarriedTransfer.write_page`."""
        packed = zlib.compress(msgspec.json.encode(rows))
        for part, start in enumerate(range(0, len(packed), _ITEM_BYTES)):
            item = {"n": {"N": str(page)}, "p": {"N": str(part)}, "b": {"B": packed[start : start + _ITEM_BYTES]}}
            await self._dynamo.call("put_item", TableName=self._table, Item=item)

    async def finish_transfer(self, node: int | None, item_sum: int) -> None:
        """See `CarriedTransfer.finish_transfer`. DynamoDB does not use the data."""
