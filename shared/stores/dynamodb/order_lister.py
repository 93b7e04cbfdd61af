"""Lists of orders, from the newest block backwards, with a limit of orders examined per call."""

import asyncio
from collections.abc import Sequence

from shared.domain.names import recent_name_key
from shared.domain.orders import Order
from shared.stores.dynamodb.chunks import ChunkStore, OrderChunk
from shared.stores.dynamodb.order_tables import BLOCK
from shared.stores.dynamodb.servers import ServerDirectory
from shared.stores.orders import STATES, answer_bytes
from shared.stores.ports.orders import OrderListQuery, OrderPage
from shared.stores.ports.records import PAGE_BYTES
from shared.wire.orders import customer_of

_CHUNKS = 8
_LOOKED_AT = 50_000
# A server fills a block for up to a minute, so an earlier block may contain newer orders.
_SKEW = 120_000_000


class DynamoOrderLister:
    """Lists orders; `node` is the name of the tables in ids."""

    def __init__(self, chunks: ChunkStore, servers: ServerDirectory, node: int) -> None:
        self._chunks = chunks
        self._servers = servers
        self._node = node

    async def list_orders(self, query: OrderListQuery, by: float) -> OrderPage:
        """Returns a page of orders, newest first; it is short if few examined orders match. Raises StoreError."""
        newest = (await self._servers.read_shared()).newest
        before = (newest + 1) * BLOCK
        if query.before is not None:
            before = min(query.before, before)
        found: list[Order] = []
        room = PAGE_BYTES
        looked_at = 0
        while before > 0 and looked_at < _LOOKED_AT:
            block = (before - 1) // BLOCK
            chunks = await self._chunks.read_before(block, before, _CHUNKS, by)
            # Comparing thousands of names takes milliseconds, so it runs outside the event loop.
            matches = await asyncio.to_thread(_match_orders, chunks, before, query)
            for chunk, sequences in zip(chunks, matches, strict=True):
                for sequence in sequences:
                    room -= answer_bytes(chunk.documents[sequence - chunk.first], chunk.get_progress(sequence).detail)
                    if room < 0 and found:
                        return OrderPage(found, sequence + 1)
                    found.append(chunk.build_order(sequence, self._node))
                    if len(found) == query.limit:
                        return OrderPage(found, sequence if sequence > 0 else None)
                before = chunk.first
                looked_at += len(chunk.documents)
                if query.since is not None and chunk.documents and chunk.received < query.since - _SKEW:
                    return OrderPage(found, None)
            if len(chunks) < _CHUNKS:
                before = block * BLOCK
                looked_at += 1
        return OrderPage(found, before if before > 0 else None)


def _match_orders(chunks: Sequence[OrderChunk], before: int, query: OrderListQuery) -> list[list[int]]:
    """Returns the matching sequences below `before` of each chunk, in descending order."""
    key = None if query.customer is None else recent_name_key(query.customer)
    found: list[list[int]] = []
    for chunk in chunks:
        stop = min(chunk.stop, before)
        before = chunk.first
        if (query.since is not None and chunk.received < query.since) or (
            query.until is not None and chunk.received >= query.until
        ):
            found.append([])
            continue
        sequences = reversed(range(chunk.first, stop))
        found.append(
            [
                one
                for one in sequences
                if (query.state is None or STATES[chunk.get_progress(one).state] is query.state)
                and (key is None or recent_name_key(customer_of(chunk.documents[one - chunk.first])) == key)
            ]
        )
    return found
