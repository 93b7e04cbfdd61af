"""The batch of the intake: one commit for all orders that arrived in a turn of the event loop."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence

import structlog
from msgspec import UNSET
from msgspec.structs import replace

from services.intake.answers import accepted_texts, batch_texts, refusal_text
from services.intake.clock import ReceiptClock
from services.intake.metrics import IntakeMetrics
from services.intake.parser import OrderArray
from services.intake.server import IntakeServer
from shared.domain.deadlines import is_late, too_late
from shared.domain.errors import ComandaError, Conflict, InvalidParams, QueueFull, StoreError, Unavailable
from shared.domain.orders import OrderRequest, Priority
from shared.net.connection import Connection
from shared.runtime.log_quota import LogQuota
from shared.runtime.traces import Traces
from shared.server.dispatcher import Entry, Result
from shared.stores.ports.orders import Acceptance, OrderBatch
from shared.wire.orders import OrderBlock, encode_orders

_LOGGED_TRACES = 10


class IntakeBatch:
    """Implements `TurnBatch`."""

    def __init__(
        self,
        server: IntakeServer,
        metrics: IntakeMetrics,
        traces: Traces | None,
        clock: ReceiptClock,
        *,
        by_address: bool = False,
    ) -> None:
        self._server = server
        self._lifecycle = server.lifecycle
        self._metrics = metrics
        self._traces = traces
        self._clock = clock
        self._by_address = by_address
        self._refusing = False
        self._has_orders = False
        self._log = structlog.get_logger()
        self._quota = LogQuota()

    def refuse_orders(self) -> None:
        """Accepts no more orders; everything else goes on."""
        self._refusing = True

    async def carry_out(self, entries: Sequence[Entry], now: float) -> Iterable[Result]:
        """See `TurnBatch.carry_out`."""
        requests: list[OrderRequest] = []
        plain = True
        late: set[int] = set()
        for connection, item, arrived in entries:
            # Nearly everything is a block of orders: it is looked for first, and without a pattern.
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
        self._has_orders = bool(requests)
        return self._encode(entries, texts)

    def end_turn(self) -> None:
        """See `TurnBatch.end_turn`."""
        if self._has_orders:
            self._lifecycle.dispatch()

    def forget(self, connection: Connection) -> None:
        """See `TurnBatch.forget`."""
        self._lifecycle.unwatch(connection)
        self._server.readers.forget(connection)

    @staticmethod
    def _encode(entries: Sequence[Entry], texts: Sequence[str]) -> Iterator[Result]:
        """Yields the answers of each entry, of which `texts` has one for each order.

        One entry after the other, so that its bytes are sent while they are in the cache of the processor.
        """
        position = 0
        for _, item, _ in entries:
            if type(item) is OrderBlock:
                start, position = position, position + item.weight
                yield ("\n".join(texts[start:position]) + "\n").encode(), item.weight
            elif isinstance(item, OrderArray):
                parts: list[str] = []
                for member in item.members:
                    if isinstance(member, InvalidParams):
                        parts.append(refusal_text(member, None))
                    else:
                        parts.append(texts[position])
                        position += 1
                yield f"[{','.join(parts)}]\n".encode(), 1
            else:
                yield None

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
            traces = sorted({order.trace for order in requests if order.trace is not UNSET})[:_LOGGED_TRACES]
            if self._quota.admit():
                values = {"reason": error.message, "traces": traces, **self._quota.take_left_out()}
                self._log.error("orders_refused_by_store", orders=len(requests), **values)
            self._server.store_trouble = error.message
            return self._refuse(requests, error)
        self._server.store_trouble = None if acceptance.refused is None else acceptance.refused.message
        if self._traces is not None or self._log.is_enabled_for(logging.DEBUG):
            self._log_traces(requests, acceptance, seconds)
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

    def _log_traces(self, requests: list[OrderRequest], acceptance: Acceptance, seconds: float) -> None:
        for index, order_id in zip(acceptance.accepted, acceptance.orders.ids(), strict=True):
            if (trace := requests[index].trace) is not UNSET:
                self._log.debug("order_accepted", id=order_id, trace=trace)
                if self._traces is not None:
                    self._traces.record_span("order.accept", trace, seconds=seconds, order=order_id)

    def _refuse(self, requests: list[OrderRequest], error: ComandaError) -> list[str]:
        self._metrics.refused(error.code, len(requests))
        return [
            refusal_text(error, None if request.request_id is UNSET else request.request_id) for request in requests
        ]


def _with_scope(order: OrderRequest, address: str) -> OrderRequest:
    """Returns the order with the address that it came from as the scope of its key, where it names no other."""
    if order.request_id is UNSET or order.client_id is not UNSET:
        return order
    return replace(order, client_id=address)


def _waits(order: OrderRequest) -> bool:
    """Whether it is queued apart from the others of its batch."""
    return order.priority is not Priority.NORMAL or order.not_before is not UNSET
