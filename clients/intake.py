"""The asyncio client of the order intake.

    async with IntakeClient("localhost", 8888) as client:
        accepted = await client.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})
        order = await client.status(accepted.id)

Any number of tasks may share a client: their requests are pipelined over one connection, which is reopened when it
breaks. After a lost answer, only idempotent requests are sent again: reads, and orders with a request_id.
"""

import asyncio
import datetime
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.errors import Refused
from clients.replies import Accepted, Event, Members, Moved, Page, StatsReply, StatusReply, StoredOrder, read_answer
from shared.domain.orders import OrderRequest
from shared.domain.states import FINAL, State

T = TypeVar("T")

_ARRAY_ORDERS = 500
# Well below the smallest default of MAX_DOCUMENT_BYTES.
_ARRAY_BYTES = 200_000
# Commas, and the members of the request context, for each order.
_OVERHEAD_BYTES = 200
_encode = msgspec.json.Encoder(decimal_format="number").encode

NewOrder = OrderRequest | Mapping[str, Any]
"""An order as a struct, or as the members of its JSON object."""


class IntakeClient(BaseClient):
    """A client of one intake.

    See `BaseClient` for `timeout`, `patience` and the errors of all methods. With `wait_for_room`, an order that is
    refused with `queue_full` is sent again until it is accepted, each time after the server's `retry_after_ms`.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8888,
        access: Access = OPEN,
        *,
        timeout: float = 10.0,
        patience: float | None = None,
        wait_for_room: bool = False,
    ) -> None:
        super().__init__(host, port, access, timeout=timeout, greeted=True, patience=patience)
        self._wait_for_room = wait_for_room

    async def order(self, order: NewOrder, *, add_request_id: bool = True) -> Accepted:
        """Places one order; when this returns, the order is on the server's disk.

        Adds a request_id if the order has none, so that it can be sent again safely. With `add_request_id=False`,
        the order is sent once, and a lost answer raises ConnectionLost.
        """
        document: Any = order
        safe = isinstance(order, OrderRequest) and order.request_id is not UNSET
        if not isinstance(order, OrderRequest) or (add_request_id and not safe):
            document = _order_members(order, add_request_id=add_request_id)
            safe = "request_id" in document
        while True:
            try:
                return await self._request_reply(Accepted, document, safe=safe)
            except Refused as refusal:
                if not self._wait_for_room or refusal.retry_after_ms is None:
                    raise
                await asyncio.sleep(refusal.retry_after_ms / 1000)

    async def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders, some hundreds with one request; returns the result of each, in their order."""
        results: list[Accepted | Refused] = []
        for document in _split_into_arrays([_order_members(order, add_request_id=True) for order in orders]):
            line = await self._send_document(document, safe=True)
            if line.startswith(b"{"):
                # The server refused the array as a whole.
                read_answer(Accepted, line)
            results += map(_accepted_or_refused, map(bytes, msgspec.json.decode(line, type=list[msgspec.Raw])))
        return results

    async def status(self, order_id: str) -> StoredOrder:
        """Returns one order."""
        return (await self._request_reply(StatusReply, {"action": "status", "id": order_id})).order

    async def explain(self, order_id: str) -> Members:
        """Returns the history of an order: its steps with their times, and its failed attempts."""
        return await self._request_members({"action": "explain", "id": order_id})

    async def list(
        self,
        *,
        state: State | str | None = None,
        customer: str | None = None,
        since: datetime.datetime | str | None = None,
        until: datetime.datetime | str | None = None,
        page_size: int = 100,
    ) -> AsyncGenerator[StoredOrder, None]:
        """Yields orders, newest first; `since` and `until` bound their time of receipt (inclusive, exclusive)."""
        cursor: str | None = None
        while True:
            page = await self.page(
                state=state, customer=customer, since=since, until=until, page_size=page_size, cursor=cursor
            )
            for order in page.orders:
                yield order
            cursor = page.cursor
            if cursor is None:
                return

    async def page(
        self,
        *,
        state: State | str | None = None,
        customer: str | None = None,
        since: datetime.datetime | str | None = None,
        until: datetime.datetime | str | None = None,
        page_size: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Returns a page of the orders of `list`; `cursor` is that of the page before."""
        document = {"action": "list", "estado": state, "cliente": customer, "desde": since, "hasta": until}
        return await self._request_reply(Page, {**document, "limite": page_size, "cursor": cursor})

    async def cancel(self, order_id: str) -> State:
        """Cancels a waiting order, or discards a failed one; returns its new state."""
        return (await self._request_reply(Moved, {"action": "cancel", "id": order_id}, safe=False)).state

    async def retry(self, order_id: str) -> State:
        """Queues a failed order for another attempt; returns its new state."""
        return (await self._request_reply(Moved, {"action": "retry", "id": order_id}, safe=False)).state

    async def stats(self) -> Members:
        """Returns the intake's statistics."""
        return (await self._request_reply(StatsReply, {"action": "stats"})).stats

    async def health(self) -> Members:
        """Returns the health of the intake and its workers."""
        return await self._request_members({"action": "health"})

    async def help(self, topic: str | None = None) -> Members:
        """Returns the intake's help: `help` has its lines, and for the topic `order`, `example` has an order."""
        return await self._request_members({"action": "help", "topic": topic})

    async def ping(self) -> None:
        """Returns when the server answers."""
        await self._request_reply(Members, {"action": "ping"})

    async def watch(self, order_id: str | None = None) -> AsyncGenerator[Event, None]:
        """Yields changes of all orders, or of one, over a separate connection until the server closes it."""
        async with self._open_subscription({"action": "watch", "id": order_id}) as (connection, _):
            while (line := await connection.next_event()) is not None:
                yield msgspec.json.decode(line, type=Event)

    async def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final, without a time limit, and returns it."""
        while True:
            async with self._open_subscription({"action": "watch", "id": order_id}) as (connection, _):
                # The state is read after the watch has begun and after each change, so no change is missed.
                change: bytes | None = b""
                while change is not None:
                    order = await self.status(order_id)
                    if order.state in FINAL:
                        return order
                    change = await connection.next_event()


def _split_into_arrays(orders: list[Members]) -> Iterator[list[Members]]:
    """Yields the orders in arrays that fit into one document each."""
    array: list[Members] = []
    size = 0
    for order in orders:
        length = len(_encode(order)) + _OVERHEAD_BYTES
        if array and (len(array) == _ARRAY_ORDERS or size + length > _ARRAY_BYTES):
            yield array
            array, size = [], 0
        array.append(order)
        size += length
    if array:
        yield array


def _accepted_or_refused(answer: bytes) -> Accepted | Refused:
    try:
        return read_answer(Accepted, answer)
    except Refused as refusal:
        return refusal


def _order_members(order: NewOrder, *, add_request_id: bool) -> Members:
    if not isinstance(order, Mapping | OrderRequest):
        raise TypeError(f"an order is a mapping or an OrderRequest, not {type(order).__name__}")
    members: dict[str, Any] = dict(order) if isinstance(order, Mapping) else msgspec.to_builtins(order)
    if add_request_id:
        members.setdefault("request_id", str(uuid.uuid4()))
    return members
