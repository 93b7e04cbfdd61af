"""Moves orders and items between the tables on DynamoDB and another store."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from shared.domain.errors import StartupError
from shared.domain.orders import OrderRequest, Priority, due_time
from shared.domain.states import State
from shared.domain.tables import CHAINS, SECRETS, Tables
from shared.stores.dynamodb.acceptor import key_item
from shared.stores.dynamodb.attempts import attempt_item, read_attempts
from shared.stores.dynamodb.chunks import ChunkStore, OrderChunk, chunk_item, count_states, run_concurrently
from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.items import MOVED, PARTITION, SORT, raw_item, raw_key, record_of, text_member
from shared.stores.dynamodb.order_tables import ATTEMPTS, BLOCK, CHUNK_BYTES, CHUNK_ORDERS, KEYS, ORDERS, PROGRESS
from shared.stores.dynamodb.servers import ServerDirectory
from shared.stores.orders import DONE, request_key
from shared.stores.ports.transfer import ItemPlace, TransferredItem, TransferredOrder

_BATCH = 25
_PAGE = 100
_OWNER = "migration"
_LOOK_SECONDS = 5.0
_decode = msgspec.json.Decoder(OrderRequest).decode


class DynamoOrderTransfer:
    """Implements `OrderTransfer`; the tables have to exist."""

    def __init__(self, dynamo: DynamoClient) -> None:
        self._dynamo = dynamo
        self._chunks = ChunkStore(dynamo)
        self._servers = ServerDirectory(dynamo, _OWNER)

    async def check_unused(self) -> None:
        """Raises StartupError if an intake uses the tables, which its heartbeat shows."""
        before = {server.id: server.beat for server in await self._servers.list_others() if not server.released}
        if not before:
            return
        await asyncio.sleep(_LOOK_SECONDS)
        for server in await self._servers.list_others():
            if server.id in before and server.beat != before[server.id]:
                raise StartupError(f"the intake {server.id} is using these tables", hint="stop it first")

    async def read_node(self) -> int | None:
        """See `OrderTransfer.read_node`."""
        shared = await self._servers.read_shared()
        return shared.node if shared.newest or await self.read_orders(0, 1) else None

    async def read_orders(self, after: int, limit: int) -> list[TransferredOrder]:
        """See `OrderTransfer.read_orders`. It reads whole blocks, so it may return more than `limit` orders."""
        # Read each time: the number of blocks grows while orders are written.
        newest = (await self._servers.read_shared()).newest
        found: list[TransferredOrder] = []
        block = after // BLOCK
        while block <= newest and len(found) < limit:
            for chunk in await self._chunks.read_block(block):
                found += _iterate_orders(chunk, after)
            block += 1
        failed = [order.sequence for order in found if order.row.failures]
        kept = await run_concurrently(read_attempts(self._dynamo, sequence) for sequence in failed)
        attempts = dict(zip(failed, kept, strict=True))
        return [order._replace(attempts=attempts.get(order.sequence, ())) for order in found]

    async def write_orders(self, orders: Sequence[TransferredOrder]) -> None:
        """See `OrderTransfer.write_orders`."""
        prefix = self._dynamo.settings.prefix
        puts: list[tuple[str, dict[str, Any]]] = []
        keys: dict[str, dict[str, Any]] = {}
        for chunk in _group_orders(orders):
            requests = [_decode(order.document) for order in chunk]
            plain = all(_is_plain(request) for request in requests)
            first, received = chunk[0].sequence, chunk[0].received
            item = chunk_item(first, received, _OWNER, [order.document for order in chunk], _OWNER, plain=plain)
            puts.append((prefix + ORDERS, item))
            progress = self._chunks.put_request(OrderChunk(item), [order.row for order in chunk], _OWNER, _OWNER)[
                "Item"
            ]
            puts.append((prefix + PROGRESS, progress))
            for sequence, request in enumerate(requests, first):
                if (key := request_key(request)) is not None:
                    # A reused key belongs to the newest of its orders.
                    keys[key] = key_item(key, sequence, received, 0)
            puts += (
                (prefix + ATTEMPTS, attempt_item(order.sequence, failed))
                for order in chunk
                for failed in order.attempts
            )
        puts += ((prefix + KEYS, item) for item in keys.values())
        await _put_all(self._dynamo, puts)

    async def last_given(self) -> int:
        """See `OrderTransfer.last_given`: the last sequence of the newest block, which its owner may have assigned."""
        shared = await self._servers.read_shared()
        return (shared.newest + 1) * BLOCK - 1

    async def finish_transfer(self, node: int, last: int) -> None:
        """See `OrderTransfer.finish_transfer`. The first intake that starts adopts the open orders."""
        newest = last // BLOCK
        finished: dict[int, dict[State, int]] = {}
        left: set[int] = set()
        for block in range(newest + 1):
            rows = await self._chunks.read_block_progress(block)
            if rows and all(row.state >= DONE for row in rows):
                finished[block] = count_states(rows)
            elif rows:
                left.add(block)
        await self._servers.install_orders(node, newest, finished, left)


def _iterate_orders(chunk: OrderChunk, after: int) -> Iterator[TransferredOrder]:
    for sequence, document in enumerate(chunk.documents, chunk.first):
        if sequence > after:
            yield TransferredOrder(sequence, chunk.received, document, chunk.get_progress(sequence))


def _group_orders(orders: Iterable[TransferredOrder]) -> Iterator[list[TransferredOrder]]:
    """Groups orders to chunks."""
    chunk: list[TransferredOrder] = []
    size = 0
    for order in orders:
        length = len(order.document.encode())
        fits = (
            chunk
            and order.sequence == chunk[-1].sequence + 1
            and order.sequence % BLOCK
            and order.received == chunk[0].received
            and len(chunk) < CHUNK_ORDERS
            and size + length <= CHUNK_BYTES
        )
        if chunk and not fits:
            yield chunk
            chunk, size = [], 0
        chunk.append(order)
        size += length
    if chunk:
        yield chunk


def _is_plain(request: OrderRequest) -> bool:
    return request_key(request) is None and request.priority is Priority.NORMAL and due_time(request) is None


async def _put_all(dynamo: DynamoClient, puts: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Puts items into their tables, replacing existing ones. Raises StoreError."""

    async def put_part(part: Sequence[tuple[str, dict[str, Any]]]) -> None:
        wanted: dict[str, Any] = defaultdict(list)
        for table, item in part:
            wanted[table].append({"PutRequest": {"Item": item}})
        while wanted:
            answer = await dynamo.call("batch_write_item", RequestItems=dict(wanted))
            wanted = answer.get("UnprocessedItems") or {}

    await run_concurrently(put_part(puts[start : start + _BATCH]) for start in range(0, len(puts), _BATCH))


class DynamoItemTransfer:
    """Implements `ItemTransfer`; the tables have to exist, and no server may use them."""

    def __init__(self, dynamo: DynamoClient, tables: Tables) -> None:
        self._dynamo = dynamo
        self._tables = tables

    async def is_empty(self) -> bool:
        """See `ItemTransfer.is_empty`."""
        place: ItemPlace | None = None
        while True:
            items, place = await self.read_items(place, _PAGE)
            if any(item.table not in (SECRETS.name, CHAINS.name) for item in items):
                return False
            if place is None:
                return True

    async def read_items(self, after: ItemPlace | None, limit: int) -> tuple[list[TransferredItem], ItemPlace | None]:
        """See `ItemTransfer.read_items`. Items are in DynamoDB's own order."""
        names = list(self._tables)
        name, *keys = after if after is not None else (names[0],)
        table = self._tables[name]
        request: dict[str, Any] = {
            "TableName": self._dynamo.settings.prefix + name,
            "Limit": limit,
            "ConsistentRead": True,
        }
        if keys and keys[0]:
            request["ExclusiveStartKey"] = raw_key(table, keys[0], keys[1])
        answer = await self._dynamo.call("scan", **request)
        items = []
        for raw in answer["Items"]:
            if (record := record_of(raw)) is None:
                continue
            items.append(TransferredItem(name, text_member(raw, PARTITION), text_member(raw, SORT), record))
        if answer.get("LastEvaluatedKey") is not None:
            # The key of the last item, which may be the mark of a removed one.
            raw = answer["Items"][-1]
            return items, (name, text_member(raw, PARTITION), text_member(raw, SORT))
        following = names[names.index(name) + 1 :]
        return items, (following[0], "", "") if following else None

    async def write_items(self, items: Sequence[TransferredItem]) -> None:
        """See `ItemTransfer.write_items`. The streams contain every item as new; the feed leaves these records out."""
        prefix = self._dynamo.settings.prefix
        puts = [
            (prefix + name, raw_item(self._tables[name], partition, sort, record, MOVED))
            for name, partition, sort, record in items
        ]
        await _put_all(self._dynamo, puts)
