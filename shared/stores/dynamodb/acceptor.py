"""Storing of new orders on DynamoDB, as consecutive chunks in blocks of sequences that this server owns.

The chunks of a block have no gaps, and each is written only after the previous write is confirmed. So there is
exactly one position for the next chunk. A server that adopts the block writes a seal at this position, which prevents
later writes of the previous owner. A write without a reply is resolved in the same way before the next one.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shared.domain.errors import StoreError
from shared.domain.ids import OrderRange, id_prefix
from shared.domain.orders import OrderRequest
from shared.domain.states import State
from shared.stores.dynamodb.chunks import ChunkStore, OrderChunk, chunk_item
from shared.stores.dynamodb.client import TRANSACTION_ACTIONS, TRANSACTION_BYTES, ConditionFailed, DynamoClient
from shared.stores.dynamodb.order_tables import BLOCK, CHUNK_BYTES, CHUNK_ORDERS, EXPIRY, KEYS, ORDERS
from shared.stores.dynamodb.servers import ServerDirectory
from shared.stores.orders import request_key, same_order
from shared.stores.ports.orders import Acceptance, ExistingOrder, OrderBatch, Superseded

# Lists sort orders by block: orders in an old block would be listed too far down.
_BLOCK_SECONDS = 60.0
_BATCH_GET = 100
# Bytes of an item in addition to its documents, and of a key.
_ACTION_BYTES = 500


class _PendingWrite(NamedTuple):
    """The part of a batch that one transaction stores: a range of its new orders, and the requests."""

    token: str
    first: int
    orders: int
    actions: list[dict[str, Any]]


class _KeyTaken(Exception):
    """An order of the batch has an idempotency key that is already used."""


class Acceptor:
    """Stores new orders for the server of `servers`; `node` is the tables' name in ids."""

    def __init__(
        self,
        dynamo: DynamoClient,
        servers: ServerDirectory,
        chunks: ChunkStore,
        node: int,
        *,
        request_id_seconds: float = 0,
    ) -> None:
        self._key_age = round(request_id_seconds * 1e6)
        """Validity of idempotency keys in microseconds; 0 is unlimited."""
        self._dynamo = dynamo
        self._servers = servers
        self._chunks = chunks
        self._node = node
        self._next = self._stop = 0
        self._until = 0.0
        self._doubt: _PendingWrite | None = None
        self.used: dict[int, int] = {}
        """Number of orders by block, for the blocks of this server."""
        self.found: list[int] = []
        """First sequences of chunks that were stored although the write had no reply."""

    @property
    def current_block(self) -> int | None:
        """The block of the next orders."""
        return self._next // BLOCK if self._next < self._stop else None

    async def accept_batch(self, batch: OrderBatch, received: int, room: int) -> Acceptance:
        """See `OrderStore.accept`. Raises StoreError if no order is known to be stored."""
        await self.settle_doubt()
        room = min(room, BLOCK)
        known: dict[str, ExistingOrder] = {}
        if not batch.plain and len(batch.requests) > room:
            known = await self._find_existing(batch, range(len(batch.requests)), received)
        new, same = _plan_batch(batch, room, known)
        first = await self._next_sequence(len(new)) if new else 0
        stored = 0
        refused: StoreError | None = None
        while stored < len(new):
            try:
                for write in self._plan_writes(batch, received, first, new, stored):
                    await self._send_write(write)
                    stored += write.orders
            except _KeyTaken:
                known |= await self._find_existing(batch, new[stored:], received)
                new, same = _plan_batch(batch, room, known)
            except StoreError as error:
                if not stored:
                    raise
                refused = error
                new = new[:stored]
        prefix = id_prefix(received, self._node)
        existing: dict[int, ExistingOrder] = {}
        for index, (found, alike) in same.items():
            if isinstance(found, ExistingOrder):
                existing[index] = found
            elif found < stored:
                existing[index] = ExistingOrder(f"{prefix}{first + found:012x}", State.QUEUED, alike)
        return Acceptance(OrderRange(received, self._node, first, stored), new, existing, refused)

    async def _next_sequence(self, orders: int) -> int:
        """Returns the next sequence, with room for `orders` orders in its block. Raises StoreError."""
        if self._next + orders > self._stop or time.monotonic() > self._until:
            self._stop = 0
            block = await self._servers.reserve_block()
            self._next, self._stop = block * BLOCK, (block + 1) * BLOCK
            self._until = time.monotonic() + _BLOCK_SECONDS
            self.used[block] = 0
        return self._next

    def _plan_writes(
        self, batch: OrderBatch, received: int, first: int, new: Sequence[int], start: int
    ) -> Iterator[_PendingWrite]:
        """Splits the orders of a batch from index `start` on into transactions within DynamoDB's limits."""
        size = 0
        write: _PendingWrite | None = None
        for place, chunk in _split_chunks(batch, new, start):
            documents = [batch.documents[index] for index in chunk]
            token = uuid.uuid4().hex if write is None else write.token
            item = chunk_item(first + place, received, self._servers.me, documents, token, plain=batch.plain)
            actions = [_put_action(self._dynamo, ORDERS, item, "attribute_not_exists(b)")]
            if not batch.plain:
                actions += self._key_actions(batch, chunk, first + place, received)
            more = sum(map(_text_bytes, documents)) + _ACTION_BYTES * len(actions)
            if write is not None and (
                len(write.actions) + len(actions) > TRANSACTION_ACTIONS or size + more > TRANSACTION_BYTES
            ):
                yield write
                write, size = None, 0
            if write is None:
                write = _PendingWrite(token, first + place, 0, [])
            write = write._replace(orders=write.orders + len(chunk), actions=write.actions + actions)
            size += more
        if write is not None:
            yield write

    def _key_actions(self, batch: OrderBatch, chunk: Sequence[int], first: int, received: int) -> list[dict[str, Any]]:
        actions = []
        for sequence, index in enumerate(chunk, first):
            key = request_key(batch.requests[index])
            if key is not None:
                item = key_item(key, sequence, received, self._key_age)
                actions.append(_put_action(self._dynamo, KEYS, item, "attribute_not_exists(k)"))
                if self._key_age:
                    # DynamoDB deletes expired items with a delay, so they are overwritten.
                    put = actions[-1]["Put"]
                    put["ConditionExpression"] += " OR r <= :old"
                    put["ExpressionAttributeValues"] = {":old": {"N": str(received - self._key_age)}}
        return actions

    async def _send_write(self, write: _PendingWrite) -> None:
        """Writes one transaction. Raises _KeyTaken, Superseded and other StoreErrors."""
        try:
            if len(write.actions) == 1:
                await self._dynamo.call("put_item", **write.actions[0]["Put"])
            else:
                await self._dynamo.call("transact_write_items", TransactItems=write.actions)
        except ConditionFailed as failed:
            taken = await self._read_chunk(write.first)
            if taken is None:
                raise _KeyTaken from None
            if not (failed.in_doubt and taken.written == write.token):
                raise Superseded(self._servers.me) from None
        except StoreError:
            self._doubt = write
            raise
        self._next = write.first + write.orders
        self.used[write.first // BLOCK] = self._next % BLOCK or BLOCK

    async def settle_doubt(self) -> None:
        """Resolves a write without a reply: it was done, or a seal prevents it from now on. Raises StoreError."""
        if self._doubt is None:
            return
        doubt = self._doubt
        if not await self.seal_block(doubt.first):
            taken = await self._read_chunk(doubt.first)
            if taken is None or taken.written != doubt.token:
                raise Superseded(self._servers.me)
            self.used[doubt.first // BLOCK] = doubt.first % BLOCK + doubt.orders
            self.found.append(doubt.first)
        self._doubt = None
        self._stop = 0

    async def seal_block(self, sequence: int) -> bool:
        """Prevents storing orders from this sequence on; returns False if there already are some. Raises StoreError."""
        token = uuid.uuid4().hex
        item = chunk_item(sequence, 0, self._servers.me, [], token, plain=True)
        seal = _put_action(self._dynamo, ORDERS, item, "attribute_not_exists(b)")
        try:
            await self._dynamo.call("put_item", **seal["Put"])
        except ConditionFailed as failed:
            taken = await self._read_chunk(sequence)
            return failed.in_doubt and taken is not None and taken.written == token
        return True

    async def _read_chunk(self, first: int) -> OrderChunk | None:
        """Returns the chunk or seal that begins at a sequence."""
        key = {"b": {"N": str(first // BLOCK)}, "s": {"N": str(first)}}
        table = self._dynamo.settings.prefix + ORDERS
        answer = await self._dynamo.call("get_item", TableName=table, Key=key, ConsistentRead=True)
        return OrderChunk(answer["Item"]) if "Item" in answer else None

    async def _find_existing(self, batch: OrderBatch, indexes: Sequence[int], now: int) -> dict[str, ExistingOrder]:
        """Returns existing orders by the idempotency keys of these requests."""
        requests: dict[str, OrderRequest] = {}
        for index in indexes:
            if (key := request_key(batch.requests[index])) is not None:
                requests.setdefault(key, batch.requests[index])
        keys = list(requests)
        by = self._dynamo.next_deadline()
        table = self._dynamo.settings.prefix + KEYS
        found: dict[str, ExistingOrder] = {}
        for start in range(0, len(keys), _BATCH_GET):
            part = [{"k": {"S": key}} for key in keys[start : start + _BATCH_GET]]
            wanted: dict[str, Any] = {table: {"Keys": part, "ConsistentRead": True}}
            while wanted:
                answer = await self._dynamo.call("batch_get_item", by=by, RequestItems=wanted)
                wanted = answer.get("UnprocessedKeys") or {}
                for item in answer["Responses"].get(table, []):
                    key, sequence = item["k"]["S"], int(item["q"]["N"])
                    if self._key_age and int(item["r"]["N"]) <= now - self._key_age:
                        continue
                    chunk = await self._chunks.find_chunk(sequence, by)
                    assert chunk is not None, "a key and its order are stored together"
                    order = chunk.build_order(sequence, self._node)
                    found[key] = ExistingOrder(order.id, order.state, same_order(order.request, requests[key]))
        return found


def _plan_batch(
    batch: OrderBatch, room: int, known: Mapping[str, ExistingOrder]
) -> tuple[list[int], dict[int, tuple[ExistingOrder | int, bool]]]:
    """Returns the indexes of new requests, and for each retry its existing order or the index of its new order."""
    new: list[int] = []
    same: dict[int, tuple[ExistingOrder | int, bool]] = {}
    if batch.plain:
        return list(range(min(len(batch.requests), room))), same
    places: dict[str, int] = {}
    for index, request in enumerate(batch.requests):
        key = request_key(request)
        if key is not None and key in places:
            same[index] = (places[key], same_order(batch.requests[new[places[key]]], request))
        elif key is not None and key in known:
            same[index] = (known[key], known[key].same)
        elif len(new) < room:
            if key is not None:
                places[key] = len(new)
            new.append(index)
    return new, same


def _split_chunks(batch: OrderBatch, new: Sequence[int], start: int) -> Iterator[tuple[int, list[int]]]:
    """Yields the new orders from index `start` on in chunks, each with the index of its first order."""
    limit = CHUNK_ORDERS if batch.plain else TRANSACTION_ACTIONS - 1
    chunk: list[int] = []
    size = 0
    for place in range(start, len(new)):
        length = _text_bytes(batch.documents[new[place]])
        if chunk and (len(chunk) == limit or size + length > CHUNK_BYTES):
            yield place - len(chunk), chunk
            chunk, size = [], 0
        chunk.append(new[place])
        size += length
    if chunk:
        yield len(new) - len(chunk), chunk


def key_item(key: str, sequence: int, received: int, age: int) -> dict[str, Any]:
    """Returns an item of `KEYS`; with an `age` in microseconds it expires that long after `received`."""
    item = {"k": {"S": key}, "q": {"N": str(sequence)}, "r": {"N": str(received)}}
    if age:
        item[EXPIRY] = {"N": str((received + age) // 1_000_000 + 1)}
    return item


def _put_action(dynamo: DynamoClient, table: str, item: dict[str, Any], condition: str) -> dict[str, Any]:
    return {"Put": {"TableName": dynamo.settings.prefix + table, "Item": item, "ConditionExpression": condition}}


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
