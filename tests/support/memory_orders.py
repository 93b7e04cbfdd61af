"""A fake of the orders' database: the ports of the intake, of workers and of followers, on plain dictionaries.

It passes the same contract suite as SQLite and DynamoDB (tests/contract). It keeps nothing beyond the process, so no
server can be configured with it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from shared.domain.errors import NotFound, StoreError
from shared.domain.ids import OrderRange, new_node, parse_id
from shared.domain.names import name_key
from shared.domain.orders import FailedAttempt, Item, Order, OrderRequest, due_time
from shared.domain.quantiles import bucket_number
from shared.domain.states import ACCEPT, FINAL, FINISH, State, Transition
from shared.stores.orders import OpenOrder, answer_bytes, group_open, poison_detail, request_key, same_order
from shared.stores.outbox import TRANSITIONS_BY_MEMBER, OutboxEntry, Span, detailed_spans, spans
from shared.stores.ports.feeds import OrderEvents, OrderStateChange
from shared.stores.ports.orders import (
    Acceptance,
    Adoption,
    Advance,
    Cancellation,
    Claim,
    Done,
    ExistingOrder,
    Failure,
    HandBack,
    OpenRange,
    OrderBatch,
    OrderListQuery,
    OrderPage,
    Recovery,
    Rescue,
    Ticket,
)
from shared.stores.ports.records import PAGE_BYTES

R = TypeVar("R", Done, Failure, HandBack)

_decode = msgspec.json.Decoder(OrderRequest).decode


@dataclass
class Stored:
    """An order, and everything that has happened to it."""

    sequence: int
    received: int
    document: str
    key: str | None
    state: State = State.QUEUED
    attempt: int = 0
    worker: str | None = None
    stored: int | None = None
    queued: int | None = None
    started: int | None = None
    finished: int | None = None
    detail: str | None = None
    due: int | None = None
    failures: int = 0
    rescues: int = 0

    @property
    def request(self) -> OrderRequest:
        """The order as it was sent."""
        return _decode(self.document)

    def is_in(self, attempt: int) -> bool:
        """Whether a worker is at it in this very attempt."""
        return self.state is State.RUNNING and self.attempt == attempt


class MemoryOrders:
    """The database that the adapters below share: it outlives each of them, as files do."""

    def __init__(self) -> None:
        self.node = new_node()
        self.orders: dict[int, Stored] = {}
        self.attempts: dict[int, list[FailedAttempt]] = {}
        self.outbox: list[tuple[int, OutboxEntry]] = []
        self.failing: StoreError | None = None
        """What every call raises while a test has the database refuse."""
        self.accept_seconds = 0.0
        """How long a commit of new orders takes."""

    def check(self) -> None:
        """Raises what the test wants."""
        if self.failing is not None:
            raise self.failing

    def within(self, order_range: OrderRange) -> list[Stored]:
        """Returns the stored orders of a range, in order."""
        sequences = order_range.sequences
        return [self.orders[sequence] for sequence in sequences if sequence in self.orders]

    def range_of(self, order: Stored) -> OrderRange:
        """Returns the range of one order."""
        return OrderRange(order.received, self.node, order.sequence, 1)

    def id_of(self, order: Stored) -> str:
        """Returns the id of an order."""
        return next(self.range_of(order).ids())

    def open_ranges(self, orders: Iterable[Stored]) -> list[OpenRange]:
        """Returns orders that wait, as ranges of those that are alike."""
        waiting = (
            OpenOrder(one.sequence, one.received, one.request.priority, one.due, one.attempt, one.rescues)
            for one in orders
        )
        return group_open(waiting, self.node)

    def write_entry(self, entry: OutboxEntry, at: int | None = None) -> None:
        """Adds an entry to the outbox, unless nothing has moved."""
        if entry.last:
            self.outbox.append((_now() if at is None else at, entry))


class MemoryOrderStore:
    """Implements `OrderStore` for the one intake of a database; keys expire after `request_id_seconds`, 0 is never."""

    def __init__(self, database: MemoryOrders, *, request_id_seconds: float = 0) -> None:
        self._database = database
        self._key_age = round(request_id_seconds * 1e6)

    async def recover(self) -> Recovery:
        """See `OrderStore.recover`."""
        orders = list(self._database.orders.values())
        running = [order for order in orders if order.state is State.RUNNING]
        for order in running:
            order.state = State.QUEUED
        self._database.write_entry(OutboxEntry(requeued=detailed_spans((order.sequence, None) for order in running)))
        totals = Counter(order.state for order in orders)
        waiting = [order for order in orders if order.state is State.QUEUED]
        return Recovery(self._database.open_ranges(waiting), {state: totals[state] for state in FINAL}, len(orders))

    async def accept(self, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        """See `OrderStore.accept`."""
        if self._database.accept_seconds:
            await asyncio.sleep(self._database.accept_seconds)
        self._database.check()
        orders = self._database.orders
        first = len(orders) + 1
        accepted: list[int] = []
        existing: dict[int, ExistingOrder] = {}
        for index, (request, document) in enumerate(zip(batch.requests, batch.documents, strict=True)):
            key = request_key(request)
            found = None if key is None else next((one for one in orders.values() if one.key == key), None)
            if found is not None and not (self._key_age and found.received + self._key_age <= received):
                existing[index] = ExistingOrder(
                    self._database.id_of(found), found.state, same_order(found.request, request)
                )
            elif len(accepted) < room:
                if found is not None:
                    found.key = None
                sequence = first + len(accepted)
                orders[sequence] = Stored(sequence, received, document, key, due=due_time(request))
                accepted.append(index)
        return Acceptance(OrderRange(received, self._database.node, first, len(accepted)), accepted, existing)

    async def get(self, order_id: str) -> Order | None:
        """See `OrderStore.get`."""
        self._database.check()
        stored = self._find(order_id)
        return None if stored is None else self._view(stored)

    async def attempts(self, order_id: str) -> list[FailedAttempt]:
        """See `OrderStore.attempts`."""
        stored = self._find(order_id)
        return [] if stored is None else list(self._database.attempts.get(stored.sequence, ()))

    async def list(self, query: OrderListQuery) -> OrderPage:
        """See `OrderStore.list`."""
        self._database.check()
        found: list[Order] = []
        room = PAGE_BYTES
        for sequence, stored in reversed(self._database.orders.items()):
            if (query.before is not None and sequence >= query.before) or not _is_meant(query, stored):
                continue
            room -= answer_bytes(stored.document, stored.detail)
            if len(found) == query.limit or (room < 0 and found):
                return OrderPage(found, sequence + 1)
            found.append(self._view(stored))
        return OrderPage(found, None)

    async def cancel(self, order_id: str) -> Cancellation | State:
        """See `OrderStore.cancel`."""
        stored = self._existing(order_id)
        was, span = stored.state, [(stored.sequence, 1)]
        if was not in (State.QUEUED, State.FAILED):
            return was
        stored.state = State.CANCELLED
        self._database.write_entry(OutboxEntry(cancelled=span) if was is State.QUEUED else OutboxEntry(discarded=span))
        return Cancellation(was)

    async def retry(self, order_id: str) -> OpenRange | State:
        """See `OrderStore.retry`."""
        stored = self._existing(order_id)
        if stored.state is not State.FAILED:
            return stored.state
        stored.state, stored.due, stored.finished = State.QUEUED, None, None
        self._database.write_entry(OutboxEntry(reopened=[(stored.sequence, 1)]))
        return OpenRange(self._database.range_of(stored), stored.attempt, stored.request.priority, None)

    async def rescue(self, tickets: Sequence[Ticket], *, poison: int) -> Rescue:
        """See `OrderStore.rescue`."""
        self._database.check()
        failed: list[tuple[int, str | None]] = []
        back: list[tuple[int, str | None]] = []
        requeued: list[OpenRange] = []
        finals: dict[State, list[OrderRange]] = {}
        for ticket in tickets:
            orders = self._database.within(ticket.orders)
            for order in orders:
                if not order.is_in(ticket.attempt):
                    continue
                if order.rescues >= poison:
                    order.state, order.detail, order.finished = State.FAILED, poison_detail(poison), ticket.queued
                    failed.append((order.sequence, order.detail))
                else:
                    order.state, order.rescues = State.QUEUED, order.rescues + 1
                    back.append((order.sequence, None))
            requeued += self._database.open_ranges(order for order in orders if order.state is State.QUEUED)
            for state in {order.state for order in orders} & FINAL:
                sequences = [order.sequence for order in orders if order.state is state]
                finals.setdefault(state, []).extend(ticket.orders.select(sequences))
        self._database.write_entry(OutboxEntry(failed=detailed_spans(failed), requeued=detailed_spans(back)))
        return Rescue(requeued, finals)

    async def send_heartbeat(self) -> None:
        """See `OrderStore.send_heartbeat`."""

    async def adopt_orphans(self) -> Adoption:
        """See `OrderStore.adopt_orphans`."""
        return Adoption([], [], [], [])

    async def advance_watermark(self) -> None:
        """See `OrderStore.advance_watermark`."""

    async def tidy(self) -> bool:
        """See `OrderStore.tidy`."""
        return False

    async def close(self) -> None:
        """See `OrderStore.close`."""

    def _find(self, order_id: str) -> Stored | None:
        parsed = parse_id(order_id)
        stored = None if parsed is None else self._database.orders.get(parsed[2])
        return None if stored is None or self._database.id_of(stored) != order_id.lower() else stored

    def _existing(self, order_id: str) -> Stored:
        self._database.check()
        if (stored := self._find(order_id)) is None:
            raise NotFound(f"there is no order {order_id}", field="id", hint="ids come with the answer to an order")
        return stored

    def _view(self, stored: Stored) -> Order:
        members = {name: getattr(stored, name) for name in Order.__struct_fields__ if name != "id"}
        return Order(id=self._database.id_of(stored), **members)


class MemoryWorkStore:
    """Implements `WorkStore` for one worker of a database."""

    def __init__(self, database: MemoryOrders) -> None:
        self._database = database

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
        """See `WorkStore.advance`."""
        self._database.check()
        tickets, left = self._fitting(list(tickets), max_bytes)
        lost: set[int] = set()
        ended = self._apply(done, _end, lost)
        failed = self._apply(failures, self._fail, lost)
        back = self._apply(handed_back, _hand_back, lost)
        claims: list[Claim] = []
        refused: list[OrderRange] = []
        for ticket in tickets:
            begun = [order for order in self._database.within(ticket.orders) if _begin(order, worker, ticket, now)]
            claims += self._claims(ticket, begun)
            kept = {order.sequence for order in begun}
            missing = [one for one in ticket.orders.sequences if one not in kept]
            refused += ticket.orders.select(missing)
        again: list[tuple[int, str | None]] = [(one.sequence, one.detail) for one in failed if one.retry_at is not None]
        entry = OutboxEntry(
            done=spans(one.sequence for one in ended),
            failed=detailed_spans((one.sequence, one.detail) for one in failed if one.retry_at is None),
            requeued=detailed_spans([*again, *((one.sequence, None) for one in back)]),
            started=[(claim.ticket.orders.first, claim.ticket.orders.count) for claim in claims],
        )
        self._database.write_entry(entry, now)
        return Advance(claims, refused, lost, left)

    async def close(self) -> None:
        """See `WorkStore.close`."""

    def _fitting(self, tickets: list[Ticket], max_bytes: int | None) -> tuple[list[Ticket], list[Ticket]]:
        """Returns the tickets whose documents fit, the last one cut, and what is left of all."""
        size = 0
        for place, ticket in enumerate(tickets):
            for number, order in enumerate(self._database.within(ticket.orders)):
                size += len(order.document)
                if max_bytes is not None and size >= max_bytes:
                    taken, rest = ticket.split_at(number + 1)
                    return [*tickets[:place], taken], [*rest, *tickets[place + 1 :]]
        return tickets, []

    def _apply(self, results: Sequence[R], record: Callable[[Stored, R], None], lost: set[int]) -> list[R]:
        """Records the results that the fence lets through, and returns them; the others are `lost`."""
        kept: list[R] = []
        for result in results:
            order = self._database.orders[result.sequence]
            if order.is_in(result.attempt):
                record(order, result)
                kept.append(result)
            else:
                lost.add(result.sequence)
        return kept

    def _fail(self, order: Stored, failure: Failure) -> None:
        order.state = State.FAILED if failure.retry_at is None else State.QUEUED
        order.finished, order.detail, order.due = failure.finished, failure.detail, failure.retry_at
        order.failures += 1
        entry = FailedAttempt(failure.attempt, failure.finished, failure.detail, failure.place, failure.traceback)
        kept = [*self._database.attempts.get(order.sequence, ()), entry]
        self._database.attempts[order.sequence] = [one for one in kept if one.attempt >= failure.oldest_kept]

    def _claims(self, ticket: Ticket, begun: list[Stored]) -> list[Claim]:
        """Returns claims of consecutive orders with as many failures."""
        claims: list[Claim] = []
        for failures in sorted({order.failures for order in begun}):
            for order_range in ticket.orders.select([order.sequence for order in begun if order.failures == failures]):
                documents = [order.document for order in self._database.within(order_range)]
                claims.append(Claim(replace(ticket, orders=order_range), documents, failures))
        return claims


class MemoryOrderFeed:
    """Implements `OrderFeed` over a database; None is one that is not there yet."""

    def __init__(self, database: MemoryOrders | None) -> None:
        self.database = database

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents | None:
        """See `OrderFeed.read_events`. A position is the node, the last order, and the entries of the outbox."""
        database = self.database
        if database is None:
            return None
        database.check()
        node, order, read = (database.node, 0, 0) if after is None else map(int, after.split("/"))
        restarted = node != database.node or order > len(database.orders) or read > len(database.outbox)
        if restarted:
            order = read = 0
        newest = min(order + limit, len(database.orders))
        new = [database.orders[sequence] for sequence in range(order + 1, newest + 1)]
        events = [self._accepted(at, list(alike)) for at, alike in groupby(new, lambda one: one.received)]
        count = 0
        for at, entry in database.outbox[read:]:
            if entry.last > newest or count >= limit:
                break
            moved = list(self._moved(at, entry))
            events += moved
            count += sum(one.orders for one in moved)
            read += 1
        return OrderEvents(events, f"{database.node}/{newest}/{read}", restarted)

    def close(self) -> None:
        """See `OrderFeed.close`."""

    def _accepted(self, at: int, orders: list[Stored]) -> OrderStateChange:
        standing: Counter[str] = Counter()
        units: Counter[str] = Counter()
        for order in orders:
            lines = [Item(one) if isinstance(one, str) else one for one in order.request.items]
            standing.update({line.name for line in lines})
            for line in lines:
                units[line.name] += line.quantity
        products = {name: (count, units[name]) for name, count in standing.items()}
        return self._change(ACCEPT, at, orders)._replace(products=products)

    def _moved(self, at: int, entry: OutboxEntry) -> Iterable[OrderStateChange]:
        for member, transition in TRANSITIONS_BY_MEMBER.items():
            group = getattr(entry, member)
            if member in ("failed", "requeued"):
                for first, count, detail in group:
                    yield self._change(transition, at, self._orders([(first, count)]))._replace(detail=detail)
            elif group:
                orders = self._orders(group)
                change = self._change(transition, at, orders)
                if transition is FINISH:
                    change = change._replace(
                        waiting=Counter(bucket_number(max((one.started or 0) - one.received, 0)) for one in orders),
                        processing=Counter(
                            bucket_number(max((one.finished or 0) - (one.started or 0), 0)) for one in orders
                        ),
                    )
                yield change

    def _orders(self, plain: Sequence[Span]) -> list[Stored]:
        assert self.database is not None
        sequences = sorted(one for first, count in plain for one in range(first, first + count))
        return [self.database.orders[sequence] for sequence in sequences]

    def _change(self, transition: Transition, at: int, orders: list[Stored]) -> OrderStateChange:
        assert self.database is not None
        traces = {self.database.id_of(one): one.request.trace for one in orders}
        return OrderStateChange(
            transition,
            at,
            [self.database.range_of(order) for order in orders],
            [order.request.customer for order in orders],
            traces={name: trace for name, trace in traces.items() if isinstance(trace, str)},
        )


def _now() -> int:
    return time.time_ns() // 1000


def _is_meant(query: OrderListQuery, order: Stored) -> bool:
    """Whether an order is one that a list asks for."""
    if query.state not in (None, order.state):
        return False
    if (query.since or 0) > order.received or (query.until is not None and order.received >= query.until):
        return False
    return query.customer is None or name_key(order.request.customer) == name_key(query.customer)


def _begin(order: Stored, worker: str, ticket: Ticket, now: int) -> bool:
    """Whether an order belongs to the worker in the ticket's attempt; begins it where nobody has."""
    if order.state is State.QUEUED and order.attempt == ticket.attempt - 1:
        order.state, order.attempt, order.worker = State.RUNNING, ticket.attempt, worker
        order.stored, order.queued, order.started = ticket.stored, ticket.queued, now
        order.finished = order.due = None
        return True
    return order.is_in(ticket.attempt) and order.worker == worker


def _end(order: Stored, done: Done) -> None:
    order.state, order.finished = State.DONE, done.finished
    if done.note is not None:
        order.detail = done.note


def _hand_back(order: Stored, _: HandBack) -> None:
    order.state = State.QUEUED
