"""Lists of orders: from the newest block back, as far as one call may look."""

from shared.domain.orders import Order
from shared.stores.dynamodb.chunks import Chunk, Chunks
from shared.stores.dynamodb.order_tables import BLOCK
from shared.stores.dynamodb.servers import Servers
from shared.stores.orders import STATES
from shared.stores.ports import Page, Query
from shared.wire.orders import customer_start

_CHUNKS = 8
_LOOKED_AT = 50_000
# A block is filled for up to a minute: orders of an earlier one may be so much younger.
_SKEW = 120_000_000


class Lister:
    """Answers `Query` for the tables whose name in ids is `node`."""

    def __init__(self, chunks: Chunks, servers: Servers, node: int) -> None:
        self._chunks = chunks
        self._servers = servers
        self._node = node

    async def list(self, query: Query, by: float) -> Page:
        """A page of orders, newest first; one that found little where it looked is short. Raises StoreError."""
        newest = (await self._servers.shared()).newest
        before = (newest + 1) * BLOCK
        if query.before is not None:
            before = min(query.before, before)
        found: list[Order] = []
        looked_at = 0
        while before > 0 and looked_at < _LOOKED_AT:
            block = (before - 1) // BLOCK
            chunks = await self._chunks.before(block, before, _CHUNKS, by)
            for chunk in chunks:
                for sequence in reversed(range(chunk.first, min(chunk.stop, before))):
                    if _matches(chunk, sequence, query):
                        found.append(chunk.order(sequence, self._node))
                        if len(found) == query.limit:
                            return Page(found, sequence if sequence > 0 else None)
                before = chunk.first
                looked_at += len(chunk.documents)
                if query.since is not None and chunk.documents and chunk.received < query.since - _SKEW:
                    return Page(found, None)
            if len(chunks) < _CHUNKS:
                before = block * BLOCK
                looked_at += 1
        return Page(found, before if before > 0 else None)


def _matches(chunk: Chunk, sequence: int, query: Query) -> bool:
    if query.state is not None and STATES[chunk.row(sequence).state] is not query.state:
        return False
    if query.since is not None and chunk.received < query.since:
        return False
    if query.until is not None and chunk.received >= query.until:
        return False
    document = chunk.documents[sequence - chunk.first]
    return query.customer is None or document.startswith(customer_start(query.customer))
