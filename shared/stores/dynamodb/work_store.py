"""The order store of the workers on DynamoDB: one write for all changes of a chunk's orders.

All changes are idempotent, so that a turn whose reply was lost can be repeated.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from shared.domain.ids import OrderRange
from shared.stores.dynamodb.attempts import keep_attempts
from shared.stores.dynamodb.chunks import ChunkStore, OrderChunk, run_concurrently
from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.order_tables import BLOCK
from shared.stores.orders import CANCELLED, DONE, FAILED, QUEUED, RUNNING, OrderProgress
from shared.stores.ports.orders import Advance, Claim, Done, Failure, HandBack, Ticket

# Ranges with smaller gaps are read together.
_NEAR = 1024

_ResultStep = Callable[[OrderProgress], OrderProgress | None]
"""Applies a result to an order's row; returns None if the order is no longer in this attempt."""


class _ChunkTurn:
    """The changes of one `advance` to one chunk."""

    def __init__(self, chunk: OrderChunk) -> None:
        self.chunk = chunk
        self.results: list[tuple[int, _ResultStep]] = []
        self.tickets: list[Ticket] = []

    @property
    def wanted_orders(self) -> int:
        """Number of orders to begin."""
        return sum(len(self.orders_of(ticket)) for ticket in self.tickets)

    def orders_of(self, ticket: Ticket) -> range:
        """Returns the sequences of a ticket in the chunk."""
        first, stop = ticket.orders.first, ticket.orders.stop
        return range(max(first, self.chunk.first), min(stop, self.chunk.stop))


class DynamoWorkStore:
    """Implements `WorkStore` for one worker process of the server `server`."""

    def __init__(self, dynamo: DynamoClient, server: str) -> None:
        self._dynamo = dynamo
        self._server = server
        self._chunks = ChunkStore(dynamo)
        self._in_hand: dict[int, OrderChunk] = {}
        """Chunks by sequence, for orders in progress."""

    async def advance(
        self,
        worker: str,
        *,
        done: Sequence[Done] = (),
        failures: Sequence[Failure] = (),
        handed_back: Sequence[HandBack] = (),
        tickets: Sequence[Ticket] = (),
        now: int,
        max_bytes: int | None = None,
    ) -> Advance:
        """See `WorkStore.advance`. After a StoreError it may be partly done; repeating the call completes it."""
        turns: dict[int, _ChunkTurn] = {}
        lost: set[int] = set()
        if failures:
            # Before the results, so that a failed order already has its attempt.
            await keep_attempts(self._dynamo, failures)

        def turn_of(chunk: OrderChunk) -> _ChunkTurn:
            return turns.setdefault(chunk.first, _ChunkTurn(chunk))

        for sequence, step in _result_steps(done, failures, handed_back):
            if (chunk := self._in_hand.get(sequence)) is not None:
                turn_of(chunk).results.append((sequence, step))
            else:
                lost.add(sequence)
        chunks = await self._read_overlapping([ticket.orders for ticket in tickets])
        tickets, untouched = _cut_to_size(tickets, chunks, max_bytes)
        for chunk in chunks:
            for ticket in tickets:
                if ticket.orders.first < chunk.stop and chunk.first < ticket.orders.stop:
                    turn_of(chunk).tickets.append(ticket)
        outcomes = await run_concurrently(self._advance_chunk(one, worker, now) for one in turns.values())
        claimed: dict[Ticket, list[tuple[int, int, str]]] = {ticket: [] for ticket in tickets}
        for one, (out, begun) in zip(turns.values(), outcomes, strict=True):
            lost |= out
            for sequence, _ in one.results:
                self._in_hand.pop(sequence, None)
            for ticket, sequence in begun:
                self._in_hand[sequence] = one.chunk
                place = sequence - one.chunk.first
                claimed[ticket].append((sequence, one.chunk.rows[place].failures, one.chunk.documents[place]))
        claims: list[Claim] = []
        refused: list[OrderRange] = []
        for ticket in tickets:
            orders = sorted(claimed[ticket])
            claims += _group_claims(ticket, orders)
            taken = {sequence for sequence, _, _ in orders}
            order_range = ticket.orders
            refused += order_range.select(one for one in order_range.sequences if one not in taken)
        return Advance(claims, refused, lost, untouched)

    async def _read_overlapping(self, asked: Iterable[OrderRange]) -> list[OrderChunk]:
        """The chunks of ranges, read together where they are near each other, and not at all where they are in hand."""
        known = {chunk.first: chunk for chunk in self._in_hand.values()}
        ranges: list[tuple[int, int]] = []
        for order_range in sorted(asked, key=lambda one: one.first):
            first, stop = order_range.first, order_range.stop
            if _is_covered(first, stop, known.values()):
                continue
            if ranges and first // BLOCK == ranges[-1][0] // BLOCK and first - ranges[-1][1] < _NEAR:
                ranges[-1] = (ranges[-1][0], stop)
            else:
                ranges.append((first, stop))
        for chunks in await run_concurrently(self._chunks.read_overlapping(first, stop) for first, stop in ranges):
            for chunk in chunks:
                known.setdefault(chunk.first, chunk)
        return list(known.values())

    async def _advance_chunk(
        self, turn: _ChunkTurn, worker: str, now: int
    ) -> tuple[set[int], list[tuple[Ticket, int]]]:
        """Records results and begins orders of a chunk; returns lost sequences, and begun orders with their tickets."""
        chunk = turn.chunk

        def change_rows(rows: list[OrderProgress]) -> tuple[set[int], list[tuple[Ticket, int]]]:
            lost: set[int] = set()
            for sequence, step in turn.results:
                row = step(rows[sequence - chunk.first])
                if row is None:
                    lost.add(sequence)
                else:
                    rows[sequence - chunk.first] = row
            begun: list[tuple[Ticket, int]] = []
            for ticket in turn.tickets:
                for sequence in turn.orders_of(ticket):
                    before = rows[sequence - chunk.first]
                    row = _begin_row(before, ticket, worker, now)
                    if row is None or chunk.owner != self._server or (row is before and sequence in self._in_hand):
                        continue
                    rows[sequence - chunk.first] = row
                    begun.append((ticket, sequence))
            return lost, begun

        lost, begun = await self._chunks.change_chunk(chunk, change_rows)
        if lost or len(begun) < turn.wanted_orders:
            # The cached chunk may be outdated.
            await self._chunks.reload_progress(chunk)
            lost, begun = await self._chunks.change_chunk(chunk, change_rows)
        return lost, begun

    async def close(self) -> None:
        """See `WorkStore.close`. The caller closes the client."""


def _cut_to_size(
    tickets: Sequence[Ticket], chunks: Iterable[OrderChunk], max_bytes: int | None
) -> tuple[Sequence[Ticket], list[Ticket]]:
    """Returns the tickets for orders whose documents reach `max_bytes` in total, and the other tickets."""
    if max_bytes is None:
        return tickets, []
    sizes: dict[int, int] = {}
    for chunk in chunks:
        sizes.update(enumerate(map(len, chunk.documents), chunk.first))
    for place, ticket in enumerate(tickets):
        for count in range(1, ticket.orders.count + 1):
            max_bytes -= sizes.get(ticket.orders.first + count - 1, 0)
            if max_bytes <= 0:
                taken, rest = ticket.split_at(count)
                return [*tickets[:place], taken], [*rest, *tickets[place + 1 :]]
    return tickets, []


def _is_covered(first: int, stop: int, chunks: Iterable[OrderChunk]) -> bool:
    """Whether these chunks contain every order of a range."""
    for chunk in sorted(chunks, key=lambda one: one.first):
        if chunk.first <= first < chunk.stop:
            first = chunk.stop
    return first >= stop


def _begin_row(row: OrderProgress, ticket: Ticket, worker: str, now: int) -> OrderProgress | None:
    """Returns the row of an order that this worker begins, or began in a turn without a reply; otherwise None."""
    if row.state == RUNNING and row.attempt == ticket.attempt and row.worker == worker:
        return row
    if row.state != QUEUED or row.attempt != ticket.attempt - 1:
        return None
    return replace(
        row,
        state=RUNNING,
        attempt=ticket.attempt,
        worker=worker,
        stored=ticket.stored,
        queued=ticket.queued,
        started=now,
        finished=None,
        due=None,
    )


def _result_steps(
    done: Iterable[Done], failures: Iterable[Failure], handed_back: Iterable[HandBack]
) -> Iterable[tuple[int, _ResultStep]]:
    """Yields the steps of results with their sequences."""
    for result in done:
        noted = {} if result.note is None else {"detail": result.note}
        yield result.sequence, _result_step(result.attempt, 0, state=DONE, finished=result.finished, **noted)
    for failure in failures:
        if failure.retry_at is None:
            last = _result_step(failure.attempt, 1, state=FAILED, finished=failure.finished, detail=failure.detail)
            yield failure.sequence, last
        else:
            again = _result_step(failure.attempt, 1, state=QUEUED, due=failure.retry_at, detail=failure.detail)
            yield failure.sequence, again
    for back in handed_back:
        yield back.sequence, _result_step(back.attempt, 0, state=QUEUED)


def _result_step(attempt: int, failures: int, **members: int | str) -> _ResultStep:
    """Returns a step that sets members of the row if the order is in this attempt; repeating it changes nothing.

    A failed order may be cancelled before the step is repeated.
    """

    def apply_result(row: OrderProgress) -> OrderProgress | None:
        if row.attempt != attempt:
            return None
        if row.state == RUNNING:
            return replace(row, failures=row.failures + failures, **members)
        seen = replace(row, state=FAILED) if row.state == CANCELLED else row
        was_done = all(getattr(seen, name) == value for name, value in members.items())
        return row if was_done else None

    return apply_result


def _group_claims(ticket: Ticket, orders: Sequence[tuple[int, int, str]]) -> Iterable[Claim]:
    """Groups orders of a ticket, with their failures and documents, to claims of consecutive and equal orders."""
    for failures in sorted({failed for _, failed, _ in orders}):
        documents = {sequence: document for sequence, failed, document in orders if failed == failures}
        for part in ticket.orders.select(documents):
            texts = [documents[sequence] for sequence in part.sequences]
            yield Claim(replace(ticket, orders=part), texts, failures)
