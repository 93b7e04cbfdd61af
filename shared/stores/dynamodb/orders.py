"""The order store of the intake on DynamoDB, for any number of intakes on the same tables.

Each intake processes the orders that it has accepted. After it has died or stopped, other intakes adopt its blocks;
the number of the attempt fences off its workers.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from shared.domain.errors import NotFound, StoreError
from shared.domain.ids import OrderRange, parse_id
from shared.domain.orders import FailedAttempt, Order
from shared.domain.states import FINAL, State
from shared.stores.dynamodb.acceptor import Acceptor
from shared.stores.dynamodb.attempts import read_attempts
from shared.stores.dynamodb.chunks import ChunkStore, OrderChunk, count_states, run_concurrently
from shared.stores.dynamodb.client import ConditionFailed, DynamoClient
from shared.stores.dynamodb.order_lister import DynamoOrderLister
from shared.stores.dynamodb.order_tables import BLOCK
from shared.stores.dynamodb.servers import OrderServer, ServerDirectory
from shared.stores.orders import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    STATES,
    OrderProgress,
    group_open,
    poison_detail,
)
from shared.stores.ports.orders import (
    Acceptance,
    Adoption,
    Cancellation,
    OpenRange,
    OrderBatch,
    OrderListQuery,
    OrderPage,
    Recovery,
    Rescue,
    Superseded,
    Ticket,
)

Adopted = list[Recovery]


class _SeenServer(NamedTuple):
    """The last seen heartbeat of another server, and the time in the loop at which it was first seen."""

    beat: int
    since: float


class DynamoOrderStore:
    """Implements `OrderStore` for the server `servers.me`; the tables have to exist.

    Another server counts as dead when its heartbeat has not changed for `lease_seconds`.
    """

    def __init__(
        self,
        dynamo: DynamoClient,
        servers: ServerDirectory,
        node: int,
        *,
        lease_seconds: float,
        request_id_seconds: float = 0,
    ) -> None:
        self._dynamo = dynamo
        self._servers = servers
        self._node = node
        self._lease_seconds = lease_seconds
        self._chunks = ChunkStore(dynamo)
        self._acceptor = Acceptor(dynamo, servers, self._chunks, node, request_id_seconds=request_id_seconds)
        self._lister = DynamoOrderLister(self._chunks, servers, node)
        self._others: dict[str, _SeenServer] = {}
        self._looked = 0.0
        self._untaken: set[int] = set()
        self._asked: set[int] = set()
        """Failed orders of this server that other servers have retried or cancelled, as of the last heartbeat."""
        self._again: set[int] = set()
        """Those of them that were already reported."""
        self._accepting = asyncio.Lock()
        # A block must not be counted while one of its orders is retried.
        self._counting = asyncio.Lock()

    # Accepting and reading.

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        """See `OrderStore.accept`.

        Orders whose write had no reply within the deadline may be stored; `adopt_orphans` then returns them.
        """
        async with self._accepting:
            return await self._acceptor.accept_batch(batch, received, room)

    async def get(self, order_id: str) -> Order | None:
        """See `OrderStore.get`."""
        found = await self._find_order(order_id)
        return None if found is None else found[0].build_order(found[1], self._node)

    async def attempts(self, order_id: str) -> list[FailedAttempt]:
        """See `OrderStore.attempts`."""
        parsed = parse_id(order_id)
        if parsed is None or parsed[1] != self._node:
            return []
        return await read_attempts(self._dynamo, parsed[2], self._dynamo.next_deadline())

    async def _find_order(self, order_id: str) -> tuple[OrderChunk, int] | None:
        """Returns the chunk and the sequence of an order."""
        parsed = parse_id(order_id)
        if parsed is None or parsed[1] != self._node:
            return None
        milliseconds, _, sequence = parsed
        chunk = await self._chunks.find_chunk(sequence, self._dynamo.next_deadline())
        return None if chunk is None or chunk.received // 1000 != milliseconds else (chunk, sequence)

    async def _require_order(self, order_id: str) -> tuple[OrderChunk, int]:
        found = await self._find_order(order_id)
        if found is None:
            raise NotFound(f"there is no order {order_id}", field="id", hint="ids come with the answer to an order")
        return found

    async def list(self, query: OrderListQuery) -> OrderPage:
        """See `OrderStore.list`. Orders of several servers are sorted to within a minute."""
        return await self._lister.list_orders(query, self._dynamo.next_deadline())

    async def cancel(self, order_id: str) -> Cancellation | State:
        """See `OrderStore.cancel`."""
        chunk, sequence = await self._require_order(order_id)
        by = self._dynamo.next_deadline()

        def take_back(rows: list[OrderProgress]) -> State:
            row = rows[sequence - chunk.first]
            if row.state == QUEUED:
                rows[sequence - chunk.first] = replace(row, state=CANCELLED)
            return STATES[row.state]

        while (was := await self._chunks.change_chunk(chunk, take_back, by)) is State.FAILED:
            moved = await self._move_failed(chunk, sequence, lambda row: replace(row, state=CANCELLED), by)
            if not isinstance(moved, State):
                return Cancellation(State.FAILED, here=moved)
        return Cancellation(was) if was is State.QUEUED else was

    async def retry(self, order_id: str) -> OpenRange | State | None:
        """See `OrderStore.retry`."""
        chunk, sequence = await self._require_order(order_id)

        def put_back(row: OrderProgress) -> OrderProgress:
            return replace(row, state=QUEUED, due=None, finished=None)

        moved = await self._move_failed(chunk, sequence, put_back, self._dynamo.next_deadline())
        if isinstance(moved, State):
            return moved
        if not moved:
            return None
        (again,) = self._reopened_ranges(chunk, sequence)
        return again

    async def _move_failed(
        self, chunk: OrderChunk, sequence: int, move: Callable[[OrderProgress], OrderProgress], by: float
    ) -> bool | State:
        """Changes a `fallido` order; returns whether this server owns it, or the state that prevents the change."""
        async with self._counting:
            return await self._move_uncounted(chunk, sequence, move, by)

    async def _move_uncounted(
        self, chunk: OrderChunk, sequence: int, move: Callable[[OrderProgress], OrderProgress], by: float
    ) -> bool | State:
        while True:
            row = chunk.get_progress(sequence)
            if row.state != FAILED:
                return STATES[row.state]
            rows = list(chunk.rows)
            rows[sequence - chunk.first] = move(row)
            # The block may be counted already, or be owned by this or another server.
            orders, actions = await self._servers.reclaim_actions(chunk.block)
            owner = self._servers.me if actions else chunk.owner
            counted = bool(actions)
            if owner != self._servers.me:
                actions = [self._servers.request_change(owner, sequence)]
            token = uuid.uuid4().hex
            put = {"Put": self._chunks.put_request(chunk, rows, owner, token)}
            try:
                await self._dynamo.call("transact_write_items", by=by, TransactItems=[put, *actions])
            except ConditionFailed:
                await self._chunks.reload_progress(chunk, by)
                if chunk.token != token:
                    if asyncio.get_running_loop().time() > by:
                        raise StoreError("the order's server could not be found", hint="try again") from None
                    continue
            else:
                chunk.rows, chunk.token = rows, token
            if counted:
                self._acceptor.used[chunk.block] = orders
                await self._own_chunks(await self._chunks.read_block(chunk.block))
            return owner == self._servers.me

    def _reopened_ranges(self, chunk: OrderChunk, sequence: int) -> Sequence[OpenRange]:
        """Returns the ranges to queue for a reopened order, without its original start time."""
        return [entry._replace(due=None) for entry in group_open(chunk.open_orders(sequence, sequence + 1), self._node)]

    # Recovery and adoption.

    async def recover(self) -> Recovery:
        """See `OrderStore.recover`. It also adopts the blocks of servers that have stopped."""
        await self._servers.register_server()
        # `adopt_orphans` adopts blocks that cannot be adopted now.
        adopted, _ = await self._adopt_blocks(lambda server: server.released)
        shared = await self._servers.read_shared()
        totals = {state: shared.totals[state] + sum(one.totals[state] for one in adopted) for state in FINAL}
        accepted = shared.accepted + sum(one.accepted for one in adopted)
        return Recovery([entry for one in adopted for entry in one.open], totals, accepted)

    async def send_heartbeat(self) -> None:
        """See `OrderStore.send_heartbeat`."""
        self._asked = await self._servers.send_heartbeat()

    async def adopt_orphans(self) -> Adoption:
        """See `OrderStore.adopt_orphans`."""
        again = self._asked
        self._again &= again
        reopened: list[OpenRange] = []
        discarded: list[OrderRange] = []
        for sequence in again - self._again:
            chunk = await self._chunks.find_chunk(sequence)
            if chunk is not None:
                reopened += self._reopened_ranges(chunk, sequence)
                if chunk.get_progress(sequence).state == CANCELLED:
                    discarded.append(OrderRange(chunk.received, self._node, sequence, 1))
        found: list[OpenRange] = []
        async with self._accepting:
            await self._acceptor.settle_doubt()
            for first in self._acceptor.found:
                for chunk in await self._chunks.read_overlapping(first, first + 1):
                    found += group_open(chunk.open_orders(chunk.first, chunk.stop), self._node)
            self._acceptor.found = []
        # From here on no error may prevent the report of the orders read above.
        if again:
            self._again |= again
            with contextlib.suppress(StoreError):
                await self._servers.acknowledge_requests(again)
        adopted, trouble = await self._adopt_blocks(self._is_dead)
        return Adoption(adopted, reopened, discarded, found, trouble)

    def _is_dead(self, server: OrderServer) -> bool:
        now = asyncio.get_running_loop().time()
        seen = self._others.get(server.id)
        if seen is None or seen.beat != server.beat:
            seen = self._others[server.id] = _SeenServer(server.beat, now)
        return server.released or now - seen.since > self._lease_seconds

    async def _adopt_blocks(self, is_left: Callable[[OrderServer], bool]) -> tuple[Adopted, str | None]:
        """Adopts the blocks of other servers; returns their orders, and the error if some blocks remain."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked > self._lease_seconds / 2:
            # After such a pause it is unknown whether the heartbeats have changed.
            self._others.clear()
        adopted: Adopted = []
        try:
            others = await self._servers.list_others()
            self._looked = loop.time()
            for server in others:
                if is_left(server) and await self._servers.take_over(server):
                    self._untaken |= server.blocks
        except Superseded:
            raise
        except StoreError as error:
            return [], error.message
        trouble: str | None = None

        async def try_adopting(block: int) -> None:
            nonlocal trouble
            try:
                adopted.append(await self._adopt_block(block))
                self._untaken.remove(block)
            except StoreError as error:
                trouble = error.message

        await run_concurrently(try_adopting(block) for block in list(self._untaken))
        return adopted, trouble

    async def _adopt_block(self, block: int) -> Recovery:
        """Adopts the open orders of a block. Raises StoreError."""
        while True:
            chunks = await self._chunks.read_block(block)
            end = max((chunk.stop for chunk in chunks), default=block * BLOCK)
            if end == (block + 1) * BLOCK or any(chunk.first == end for chunk in chunks):
                break
            await self._acceptor.seal_block(end)
        totals = dict.fromkeys(FINAL, 0)
        entries: list[OpenRange] = []

        await self._own_chunks(chunks)
        for chunk in chunks:
            for state, number in count_states(chunk.rows).items():
                if state in FINAL:
                    totals[state] += number
            entries += group_open(chunk.open_orders(chunk.first, chunk.stop), self._node)
        orders = sum(len(chunk.documents) for chunk in chunks)
        self._acceptor.used[block] = orders
        return Recovery(entries, totals, orders)

    async def _own_chunks(self, chunks: Iterable[OrderChunk]) -> None:
        """Makes this server the owner of chunks, and requeues orders that other servers had begun."""

        def requeue_running(rows: list[OrderProgress]) -> None:
            for place, row in enumerate(rows):
                if row.state == RUNNING:
                    rows[place] = replace(row, state=QUEUED)

        me = self._servers.me
        mine = [chunk for chunk in chunks if chunk.documents and chunk.owner != me]
        await run_concurrently(self._chunks.change_chunk(chunk, requeue_running, owner=me) for chunk in mine)

    async def rescue(self, tickets: Sequence[Ticket], *, poison: int) -> Rescue:
        """See `OrderStore.rescue`."""
        now = max((ticket.queued for ticket in tickets), default=0)
        requeued: list[OpenRange] = []
        finals: dict[State, list[OrderRange]] = {}

        async def rescue_chunk(chunk: OrderChunk, ticket: Ticket) -> None:
            first, stop = ticket.orders.first, ticket.orders.stop
            inside = range(max(first, chunk.first), min(stop, chunk.stop))

            def take_back(rows: list[OrderProgress]) -> None:
                for sequence in inside:
                    row = rows[sequence - chunk.first]
                    if row.state != RUNNING or row.attempt != ticket.attempt:
                        continue
                    if row.rescues >= poison:
                        row = replace(row, state=FAILED, finished=now, detail=poison_detail(poison))
                    else:
                        row = replace(row, state=QUEUED, rescues=row.rescues + 1)
                    rows[sequence - chunk.first] = row

            await self._chunks.change_chunk(chunk, take_back)
            requeued.extend(group_open(chunk.open_orders(first, stop), self._node))
            for state in FINAL:
                ended = [sequence for sequence in inside if STATES[chunk.get_progress(sequence).state] is state]
                if ended:
                    finals.setdefault(state, []).extend(ticket.orders.select(ended))

        for ticket in tickets:
            order_range = ticket.orders
            chunks = await self._chunks.read_overlapping(order_range.first, order_range.stop)
            await run_concurrently(rescue_chunk(chunk, ticket) for chunk in chunks)
        return Rescue(requeued, finals)

    async def advance_watermark(self) -> None:
        """Releases blocks in which every order is final."""
        await self._settle([block for block in self._acceptor.used if block != self._acceptor.current_block])

    async def tidy(self) -> bool:
        """See `OrderStore.tidy`. DynamoDB keeps all orders."""
        return False

    async def _settle(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            async with self._counting:
                await self._servers.read_blocks()
                rows = await self._chunks.read_block_progress(block)
                if len(rows) == self._acceptor.used[block] and all(row.state >= DONE for row in rows):
                    totals = {state: number for state, number in count_states(rows).items() if state in FINAL}
                    # If this server no longer owns the block, the new owner counts it.
                    await self._servers.count_block(block, totals)
                    del self._acceptor.used[block]

    async def close(self) -> None:
        """See `OrderStore.close`. Other servers can adopt the remaining blocks at once."""
        try:
            async with self._accepting:
                await self._acceptor.settle_doubt()
            await self._settle(list(self._acceptor.used))
            await self._servers.release_server()
        except StoreError:
            # Other servers will see that the heartbeat of this server has stopped.
            return
