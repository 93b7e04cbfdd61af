"""Where requests become orders: one commit for everything that arrived in a turn of the event loop.

Connections hand in blocks and single requests as they read them. Once a turn, the desk takes what has
gathered, stores all new orders in one transaction, and then answers each connection in the order of its
requests. What asks the store something is answered on the side, and its connection's later requests wait.
"""

import asyncio
import logging
import time
from collections import deque

import structlog
from msgspec import UNSET
from msgspec.structs import replace

from services.intake.actions import Actions
from services.intake.answers import accepted_texts, batch_texts, refusal_text
from services.intake.clock import ReceiptClock
from services.intake.inbox import Item, OrderArray, Reader
from services.intake.metrics import IntakeMetrics
from services.intake.order_lifecycle import OrderLifecycle
from services.intake.requests import Action
from shared.domain.deadlines import is_late, too_late
from shared.domain.errors import ComandaError, Conflict, InvalidParams, QueueFull, StoreError, Unavailable
from shared.domain.orders import OrderRequest, Priority
from shared.net.connection import Connection
from shared.runtime.logs import log_internal_error
from shared.runtime.traces import Traces
from shared.stores.ports.orders import Acceptance, OrderBatch
from shared.wire.framing import Frame
from shared.wire.immediate_replies import ImmediateReply
from shared.wire.orders import OrderBlock, encode_orders
from shared.wire.replies import encode_line, error_reply, success_reply

# More than this waits for the next turn, so that a turn stays short and other connections get theirs.
_TURN_ORDERS = 2048
_STRETCH = 64
_TOLD_TRACES = 10


_Entry = tuple[Connection, Item, float]
"""What came in, and when by the loop's clock."""


class Desk:
    """The service behind the intake's port."""

    def __init__(
        self,
        lifecycle: OrderLifecycle,
        actions: Actions,
        metrics: IntakeMetrics,
        traces: Traces | None,
        greeting: bytes,
        max_array_orders: int,
        clock: ReceiptClock,
        *,
        by_address: bool = False,
    ) -> None:
        self._lifecycle = lifecycle
        self._actions = actions
        self._metrics = metrics
        self._traces = traces
        self._greeting = greeting
        self._reader = Reader(max_array_orders)
        self._clock = clock
        self._inbox: deque[_Entry] = deque()
        self._held: dict[Connection, deque[_Entry]] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._by_address = by_address
        self._refusing = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()

    # What connections call.

    def greeting(self) -> bytes:
        """See `Service.greeting`."""
        return self._greeting

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`."""
        orders = self._reader.block(block)
        if orders is None:
            return 0
        self._inbox.append((connection, orders, self._loop.time()))
        self._woken.set()
        return len(orders.orders)

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        item = self._reader.frame(frame)
        if isinstance(item, Action) and connection.in_flight == 1 and self._actions.is_immediate(item):
            # Nothing is owed to this connection before it, and it touches no store: no turn to wait for.
            self._act(connection, item)
            return
        self._inbox.append((connection, item, self._loop.time()))
        self._woken.set()

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._lifecycle.unwatch(connection)

    # The turn.

    async def run(self) -> None:
        """Takes turns until `close`."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            entries = self._take()
            if entries:
                await self._turn(entries)
            elif self._closed:
                return
            if self._inbox or self._closed:
                self._woken.set()

    def refuse_orders(self) -> None:
        """Accepts no more orders; everything else goes on."""
        self._refusing = True

    async def close(self) -> None:
        """Ends `run` once everything that came in is answered."""
        self._closed = True
        self._woken.set()
        await asyncio.gather(*self._asides, return_exceptions=True)

    def _take(self) -> list[_Entry]:
        """What this turn is for, up to `_TURN_ORDERS` orders or other requests."""
        entries: list[_Entry] = []
        work = 0
        while self._inbox and work < _TURN_ORDERS:
            entry = self._inbox.popleft()
            connection, item, _ = entry
            if self._held and (held := self._held.get(connection)) is not None:
                held.append(entry)
                continue
            entries.append(entry)
            # Nearly everything is a block of orders: it is looked for first, and without a pattern.
            if type(item) is OrderBlock:
                work += len(item.orders)
                continue
            work += len(item.members) if isinstance(item, OrderArray) else 1
            if isinstance(item, Action) and not self._actions.is_immediate(item):
                # Its later requests wait until the store has answered this one.
                self._held[connection] = deque()
        return entries

    async def _turn(self, entries: list[_Entry]) -> None:
        requests: list[OrderRequest] = []
        plain = True
        late: set[int] = set()
        now = self._loop.time()
        for connection, item, arrived in entries:
            if type(item) is OrderBlock:
                orders = item.orders
                plain = plain and item.plain
                if item.plain:
                    requests += orders
                    continue
            elif isinstance(item, OrderArray):
                orders = [member for member in item.members if not isinstance(member, InvalidParams)]
                plain = False
            else:
                continue
            if self._by_address:
                orders = [_with_scope(order, connection.peer_address) for order in orders]
            places = enumerate(orders, len(requests))
            late.update(place for place, order in places if is_late(order.deadline_ms, now - arrived))
            requests += orders
        texts = await self._accept_in_time(requests, late, plain) if requests else []
        position = 0
        for connection, item, arrived in entries:
            if type(item) is OrderBlock:
                stop = position + len(item.orders)
                connection.answer(("\n".join(texts[position:stop]) + "\n").encode(), stop - position)
                position = stop
            elif isinstance(item, OrderArray):
                parts: list[str] = []
                for member in item.members:
                    if isinstance(member, InvalidParams):
                        parts.append(refusal_text(member, None))
                    else:
                        parts.append(texts[position])
                        position += 1
                connection.answer(f"[{','.join(parts)}]\n".encode())
            elif isinstance(item, ImmediateReply):
                connection.answer(item.answer)
                if item.last:
                    connection.finish()
            else:
                assert isinstance(item, Action)
                self._act(connection, item, late=is_late(item.deadline_ms, now - arrived))
        if requests:
            self._lifecycle.dispatch()

    async def _accept_in_time(self, requests: list[OrderRequest], late: set[int], plain: bool) -> list[str]:
        """Stores the new ones among `requests` but for those in the places `late`; gives the answer to each."""
        if not plain:
            requests = [
                order if order.deadline_ms is UNSET else replace(order, deadline_ms=UNSET) for order in requests
            ]
            # What decides about the way into the store.
            plain = all(order.request_id is UNSET and not _waits(order) for order in requests)
        if not late:
            return await self._accept(requests, plain)
        in_time = [order for place, order in enumerate(requests) if place not in late]
        texts = iter(await self._accept(in_time, plain) if in_time else [])
        refused = iter(self._refuse([requests[place] for place in sorted(late)], too_late()))
        return [next(refused if place in late else texts) for place in range(len(requests))]

    async def _accept(self, requests: list[OrderRequest], plain: bool) -> list[str]:
        """Stores the new ones among `requests`; gives the answer to each."""
        if self._refusing:
            return self._refuse(requests, Unavailable("the server is stopping", hint="send the order again soon"))
        received = self._clock.now()
        batch = OrderBatch(requests, encode_orders(requests), plain)
        lifecycle = self._lifecycle
        try:
            acceptance, ahead, seconds = await lifecycle.accept(batch, received)
        except StoreError as error:
            traces = sorted({order.trace for order in requests if order.trace is not UNSET})[:_TOLD_TRACES]
            self._log.error(
                "orders were refused by the store", orders=len(requests), reason=error.message, traces=traces
            )
            self._actions.store_trouble = error.message
            return self._refuse(requests, error)
        self._actions.store_trouble = None if acceptance.refused is None else acceptance.refused.message
        if self._traces is not None or self._log.is_enabled_for(logging.DEBUG):
            self._tell_traces(requests, acceptance, seconds)
        new = accepted_texts(acceptance, ahead=ahead, places=lifecycle.places, per_order_ms=lifecycle.per_order_ms())
        if plain and len(new) == len(requests):
            return new
        self._count_refused(len(requests), acceptance)
        return batch_texts(requests, acceptance, new, lifecycle, time.monotonic())

    def _count_refused(self, orders: int, acceptance: Acceptance) -> None:
        """Counts the orders of a batch that were neither stored nor there before."""
        if refused := orders - len(acceptance.accepted) - len(acceptance.existing):
            self._metrics.refused((acceptance.refused or QueueFull).code, refused)
        if conflicts := sum(not existing.same for existing in acceptance.existing.values()):
            self._metrics.refused(Conflict.code, conflicts)

    def _tell_traces(self, requests: list[OrderRequest], acceptance: Acceptance, seconds: float) -> None:
        for index, order_id in zip(acceptance.accepted, acceptance.orders.ids(), strict=True):
            if (trace := requests[index].trace) is not UNSET:
                self._log.debug("order accepted", id=order_id, trace=trace)
                if self._traces is not None:
                    self._traces.record_span("order.accept", trace, seconds=seconds, order=order_id)

    def _refuse(self, requests: list[OrderRequest], error: ComandaError) -> list[str]:
        self._metrics.refused(error.code, len(requests))
        return [
            refusal_text(error, None if request.request_id is UNSET else request.request_id) for request in requests
        ]

    # Actions.

    def _act(self, connection: Connection, action: Action, *, late: bool = False) -> None:
        if self._actions.is_immediate(action):
            connection.answer(encode_line(self._actions.at_once(action, connection)))
            return
        if late:
            connection.answer(encode_line(error_reply(too_late(), action.request_id)))
            self._release(connection)
            return
        task = asyncio.get_running_loop().create_task(self._aside(connection, action), name="action")
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _aside(self, connection: Connection, action: Action) -> None:
        """Carries out an action that asks the store, and those that follow it directly."""
        held = self._held[connection]
        stretch = 0
        while True:
            connection.answer(await self._perform(connection, action))
            # Pages are large and requests for them small: the next one has to wait for the peer.
            await connection.wait_until_read()
            following = held[0][1] if held else None
            if not isinstance(following, Action) or self._actions.is_immediate(following):
                break
            if is_late(following.deadline_ms, self._loop.time() - held[0][2]):
                # The next turn refuses it.
                break
            held.popleft()
            action = following
            stretch += 1
            if stretch % _STRETCH == 0:
                await asyncio.sleep(0)
        self._release(connection)

    def _release(self, connection: Connection) -> None:
        """The connection's later requests may go on."""
        self._inbox.extendleft(reversed(self._held.pop(connection)))
        self._woken.set()

    async def _perform(self, connection: Connection, action: Action) -> bytes:
        if action.trace is not None:
            self._log.debug("action", action=type(action).__name__, trace=action.trace)
        try:
            answer = encode_line(success_reply(await self._actions.perform(action, connection), action.request_id))
        except ComandaError as error:
            self._actions.count(action, error)
            return encode_line(error_reply(error, action.request_id))
        except Exception:
            fault = log_internal_error("action_failed", action=type(action).__name__, trace=action.trace)
            self._actions.count(action, fault)
            return encode_line(error_reply(fault, action.request_id))
        self._actions.count(action)
        return answer


def _with_scope(order: OrderRequest, address: str) -> OrderRequest:
    """Returns the order with the address that it came from as the scope of its key, where it names no other."""
    if order.request_id is UNSET or order.client_id is not UNSET:
        return order
    return replace(order, client_id=address)


def _waits(order: OrderRequest) -> bool:
    """Whether it has a place of its own in the queue."""
    return order.priority is not Priority.NORMAL or order.not_before is not UNSET
