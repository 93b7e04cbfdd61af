"""Chunks of orders: reading them, and writing the progress of their orders.

A change is applied to the progress that was read, and written on the condition that no other server has written
since; otherwise it is read again. Changes have to be idempotent, so that a write whose reply was lost can be repeated.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from shared.domain.errors import StoreError
from shared.domain.ids import id_prefix
from shared.domain.orders import Order, OrderRequest, Priority, due_time
from shared.domain.states import State
from shared.stores.dynamodb.client import ConditionFailed, DynamoClient
from shared.stores.dynamodb.order_tables import BLOCK, CHUNK_ORDERS, ORDERS, PROGRESS
from shared.stores.dynamodb.progress import decode_progress, encode_progress
from shared.stores.orders import NOTHING, QUEUED, STATES, OpenOrder, OrderProgress

T = TypeVar("T")

Change = Callable[[list[OrderProgress]], T]
"""Changes rows in place; returns the outcome."""

_CONCURRENT = 16
_decode = msgspec.json.Decoder(OrderRequest).decode


class OrderChunk:
    """Orders that were accepted together, with their progress. A seal is a chunk without orders."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.block = int(item["b"]["N"])
        self.first = int(item["s"]["N"])
        self.received = int(item["r"]["N"])
        self.plain = item["p"]["BOOL"]
        self.documents: list[str] = item["d"]["S"].split("\n") if "d" in item else []
        self.written = item["w"]["S"]
        """The token of the write that stored it."""
        self.owner = item["o"]["S"]
        """The server that processes its orders."""
        self.rows = [NOTHING] * len(self.documents)
        self.token: str | None = None
        """The token of the last write of the rows; None if there is none."""

    @property
    def stop(self) -> int:
        """The sequence after its last order."""
        return self.first + len(self.documents)

    def apply_progress(self, progress: dict[str, Any]) -> None:
        """Applies an item of `PROGRESS`."""
        self.rows = decode_progress(progress["x"]["S"])
        self.token = progress["w"]["S"]
        self.owner = progress["o"]["S"]

    def get_progress(self, sequence: int) -> OrderProgress:
        """Returns the progress of an order."""
        return self.rows[sequence - self.first]

    def decode_request(self, sequence: int) -> OrderRequest:
        """Returns an order as it was sent."""
        return _decode(self.documents[sequence - self.first])

    def build_order(self, sequence: int, node: int) -> Order:
        """Returns an order with its progress."""
        row = self.get_progress(sequence)
        return Order(
            id=f"{id_prefix(self.received, node)}{sequence:012x}",
            state=STATES[row.state],
            request=self.decode_request(sequence),
            received=self.received,
            stored=row.stored,
            queued=row.queued,
            started=row.started,
            finished=row.finished,
            attempt=row.attempt,
            worker=row.worker,
            detail=row.detail,
        )

    def open_orders(self, first: int, stop: int) -> Iterable[OpenOrder]:
        """Yields its orders from `first` up to and excluding `stop` that are `en cola`."""
        for sequence in range(max(first, self.first), min(stop, self.stop)):
            row = self.get_progress(sequence)
            if row.state != QUEUED:
                continue
            level, due = None, row.due
            if not self.plain:
                request = self.decode_request(sequence)
                level = None if request.priority is Priority.NORMAL else request.priority.value
                due = due_time(request) if due is None else due
            yield OpenOrder(sequence, self.received, level, due, row.attempt, row.rescues)


def count_states(rows: Sequence[OrderProgress]) -> dict[State, int]:
    """Returns the number of orders by state."""
    found = dict.fromkeys(STATES, 0)
    for row in rows:
        found[STATES[row.state]] += 1
    return found


async def run_concurrently(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Awaits coroutines with limited concurrency; raises the first error after all have ended."""
    room = asyncio.Semaphore(_CONCURRENT)

    async def run_one(change: Coroutine[Any, Any, T]) -> T:
        async with room:
            return await change

    outcomes = await asyncio.gather(*map(run_one, work), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


class ChunkStore:
    """Reads and changes chunks. `by` is the caller's deadline; without it each call has its own deadline."""

    def __init__(self, dynamo: DynamoClient) -> None:
        self._dynamo = dynamo

    async def read_overlapping(self, first: int, stop: int, by: float | None = None) -> list[OrderChunk]:
        """Returns the chunks with orders from `first` up to and excluding `stop`, all in one block."""
        found = await self._read_range(first // BLOCK, first - CHUNK_ORDERS + 1, stop - 1, by)
        return [chunk for chunk in found if chunk.stop > first]

    async def read_block(self, block: int, by: float | None = None) -> list[OrderChunk]:
        """Returns all chunks of a block, including seals."""
        return await self._read_range(block, block * BLOCK, (block + 1) * BLOCK, by)

    async def read_block_progress(self, block: int, by: float | None = None) -> list[OrderProgress]:
        """Returns the progress of the orders of a block that have any."""
        progress = await self._read_items(PROGRESS, block, block * BLOCK, (block + 1) * BLOCK, by)
        return [row for item in progress for row in decode_progress(item["x"]["S"])]

    async def read_before(self, block: int, sequence: int, limit: int, by: float | None = None) -> list[OrderChunk]:
        """Returns the last chunks of a block that begin before a sequence, newest first; fewer at its beginning."""
        request = self._query_request(ORDERS, block, block * BLOCK, sequence - 1)
        chunks: list[OrderChunk] = []
        while len(chunks) < limit:
            # A reply has at most a mebibyte, which is a few chunks of large orders.
            left = limit - len(chunks)
            answer = await self._dynamo.call("query", by=by, ScanIndexForward=False, Limit=left, **request)
            chunks += [OrderChunk(item) for item in answer["Items"]]
            if (start := answer.get("LastEvaluatedKey")) is None:
                break
            request["ExclusiveStartKey"] = start
        if chunks:
            await self._read_progress(chunks, chunks[-1].first, chunks[0].first, by)
        return chunks

    async def find_chunk(self, sequence: int, by: float | None = None) -> OrderChunk | None:
        """Returns the chunk with an order."""
        found = await self.read_overlapping(sequence, sequence + 1, by)
        return found[-1] if found else None

    async def _read_range(self, block: int, low: int, high: int, by: float | None = None) -> list[OrderChunk]:
        chunks = [OrderChunk(item) for item in await self._read_items(ORDERS, block, low, high, by)]
        if chunks:
            await self._read_progress(chunks, low, high, by)
        return chunks

    async def _read_progress(self, chunks: Sequence[OrderChunk], low: int, high: int, by: float | None = None) -> None:
        progress = await self._read_items(PROGRESS, chunks[0].block, low, high, by)
        by_first = {int(item["s"]["N"]): item for item in progress}
        for chunk in chunks:
            if chunk.first in by_first:
                chunk.apply_progress(by_first[chunk.first])

    async def _read_items(
        self, table: str, block: int, low: int, high: int, by: float | None = None
    ) -> list[dict[str, Any]]:
        request = self._query_request(table, block, low, high)
        items: list[dict[str, Any]] = []
        while True:
            answer = await self._dynamo.call("query", by=by, **request)
            items += answer["Items"]
            if (last := answer.get("LastEvaluatedKey")) is None:
                return items
            request["ExclusiveStartKey"] = last

    def _query_request(self, table: str, block: int, low: int, high: int) -> dict[str, Any]:
        return {
            "TableName": self._dynamo.settings.prefix + table,
            "KeyConditionExpression": "b = :b AND s BETWEEN :l AND :h",
            # Negative sequences are items about the block itself.
            "ExpressionAttributeValues": {
                ":b": {"N": str(block)},
                ":l": {"N": str(max(low, 0))},
                ":h": {"N": str(high)},
            },
            "ConsistentRead": True,
        }

    async def reload_progress(self, chunk: OrderChunk, by: float | None = None) -> None:
        """Reads the progress of a chunk's orders again."""
        key = {"b": {"N": str(chunk.block)}, "s": {"N": str(chunk.first)}}
        table = self._dynamo.settings.prefix + PROGRESS
        answer = await self._dynamo.call("get_item", by=by, TableName=table, Key=key, ConsistentRead=True)
        if (item := answer.get("Item")) is not None:
            chunk.apply_progress(item)

    async def change_chunk(
        self, chunk: OrderChunk, change: Change[T], by: float | None = None, *, owner: str | None = None
    ) -> T:
        """Applies a change and returns its outcome; with `owner` the chunk also gets a new owner.

        Raises StoreError.
        """
        limit = self._dynamo.next_deadline() if by is None else by
        while True:
            rows = list(chunk.rows)
            outcome = change(rows)
            if rows == chunk.rows and owner in (None, chunk.owner):
                return outcome
            token = uuid.uuid4().hex
            try:
                await self._dynamo.call("put_item", by=by, **self.put_request(chunk, rows, owner or chunk.owner, token))
            except ConditionFailed:
                await self.reload_progress(chunk, by)
                if chunk.token == token:
                    # It was written, and the reply was lost.
                    return outcome
                if asyncio.get_running_loop().time() > limit:
                    raise StoreError(
                        "others kept changing the same orders until the deadline", hint="try again"
                    ) from None
                continue
            chunk.rows, chunk.token, chunk.owner = rows, token, owner or chunk.owner
            return outcome

    def put_request(self, chunk: OrderChunk, rows: Sequence[OrderProgress], owner: str, token: str) -> dict[str, Any]:
        """Returns the members of a call that replaces the rows that were read."""
        members: dict[str, Any] = {
            "TableName": self._dynamo.settings.prefix + PROGRESS,
            "Item": {
                "b": {"N": str(chunk.block)},
                "s": {"N": str(chunk.first)},
                "o": {"S": owner},
                "w": {"S": token},
                "x": {"S": encode_progress(rows)},
            },
        }
        if chunk.token is None:
            return {**members, "ConditionExpression": "attribute_not_exists(b)"}
        values = {":w": {"S": chunk.token}}
        return {**members, "ConditionExpression": "w = :w", "ExpressionAttributeValues": values}


def chunk_item(
    first: int, received: int, owner: str, documents: Sequence[str], token: str, *, plain: bool
) -> dict[str, Any]:
    """Returns new orders as an item; without orders it is a seal, which prevents storing orders at this position."""
    item: dict[str, Any] = {
        "b": {"N": str(first // BLOCK)},
        "s": {"N": str(first)},
        "r": {"N": str(received)},
        "o": {"S": owner},
        "p": {"BOOL": plain},
        "w": {"S": token},
    }
    if documents:
        item["d"] = {"S": "\n".join(documents)}
    return item
