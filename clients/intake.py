"""The asyncio client of the order intake.

    async with IntakeClient("localhost", 8888) as client:
        accepted = await client.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})
        order = await client.status(accepted.id)

Any number of tasks may use one client at a time: requests share one connection and are pipelined. A
connection that breaks is opened again. A request whose answer was lost is sent again only where that is
safe: reads, and orders under their request_id.
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
from clients.replies import Accepted, Event, Members, Moved, Page, StatsAnswer, StatusAnswer, StoredOrder, read_answer
from shared.domain.orders import OrderRequest
from shared.domain.states import FINAL, State

T = TypeVar("T")

_ARRAY_ORDERS = 500
# Well below the least that a server has for MAX_DOCUMENT_BYTES by default, with room for what goes along.
_ARRAY_BYTES = 200_000
_MARKS_BYTES = 200
_encode = msgspec.json.Encoder(decimal_format="number").encode

NewOrder = OrderRequest | Mapping[str, Any]
"""An order as a struct, or as the members of its JSON object."""


class IntakeClient(BaseClient):
    """A client of one intake.

    See `BaseClient` for `timeout`, `patience` and for what every method raises. With `wait_for_room`, an order that
    finds no room is sent again as often as it takes, each time after as long as the server asks for.
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
        """Places one order; it is on the server's disk when this returns.

        An order without a request_id gets one, so that it can be sent again safely; without
        `add_request_id` it is sent once, and a lost answer raises ConnectionLost.
        """
        document: Any = order
        safe = isinstance(order, OrderRequest) and order.request_id is not UNSET
        if not isinstance(order, OrderRequest) or (add_request_id and not safe):
            document = _members(order, add_request_id=add_request_id)
            safe = "request_id" in document
        while True:
            try:
                return await self._ask(Accepted, document, safe=safe)
            except Refused as refusal:
                if not self._wait_for_room or refusal.retry_after_ms is None:
                    raise
                await asyncio.sleep(refusal.retry_after_ms / 1000)

    async def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders, some hundreds with one request: what became of each, in order."""
        found: list[Accepted | Refused] = []
        for document in _arrays([_members(order, add_request_id=True) for order in orders]):
            line = await self._send(document, safe=True)
            if line.startswith(b"{"):
                # The array as a whole was refused.
                read_answer(Accepted, line)
            found += map(_accepted_or_refused, map(bytes, msgspec.json.decode(line, type=list[msgspec.Raw])))
        return found

    async def status(self, order_id: str) -> StoredOrder:
        """One order."""
        return (await self._ask(StatusAnswer, {"action": "status", "id": order_id})).order

    async def explain(self, order_id: str) -> Members:
        """What happened to an order, and when."""
        return await self._ask_members({"action": "explain", "id": order_id})

    async def list(
        self,
        *,
        state: State | str | None = None,
        customer: str | None = None,
        since: datetime.datetime | str | None = None,
        until: datetime.datetime | str | None = None,
        page_size: int = 100,
    ) -> AsyncGenerator[StoredOrder, None]:
        """Orders, newest first; `since` and `until` bound their time of receipt (inclusive, exclusive)."""
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
        """A page of what `list` gives, from behind the page that gave `cursor`."""
        document = {"action": "list", "estado": state, "cliente": customer, "desde": since, "hasta": until}
        return await self._ask(Page, {**document, "limite": page_size, "cursor": cursor})

    async def cancel(self, order_id: str) -> State:
        """Takes an order back that no worker has begun, or discards one that has failed; gives its new state."""
        return (await self._ask(Moved, {"action": "cancel", "id": order_id}, safe=False)).state

    async def retry(self, order_id: str) -> State:
        """Gives a failed order one more attempt; gives its new state."""
        return (await self._ask(Moved, {"action": "retry", "id": order_id}, safe=False)).state

    async def stats(self) -> Members:
        """The server's numbers."""
        return (await self._ask(StatsAnswer, {"action": "stats"})).stats

    async def health(self) -> Members:
        """How the server and its workers are."""
        return await self._ask_members({"action": "health"})

    async def help(self, topic: str | None = None) -> Members:
        """What the server says about itself: `help` as lines, and for the topic `order` an `example`."""
        return await self._ask_members({"action": "help", "topic": topic})

    async def ping(self) -> None:
        """Returns when the server answers."""
        await self._ask(Members, {"action": "ping"})

    async def watch(self, order_id: str | None = None) -> AsyncGenerator[Event, None]:
        """Changes of all orders, or of one, over a connection of its own.

        Ends when the server ends the connection.
        """
        async with self._watching({"action": "watch", "id": order_id}) as (connection, _):
            while (line := await connection.event()) is not None:
                yield msgspec.json.decode(line, type=Event)

    async def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final, for as long as it takes."""
        while True:
            async with self._watching({"action": "watch", "id": order_id}) as (connection, _):
                # Asked for once watching has begun, and after each change: no change in between is missed.
                change: bytes | None = b""
                while change is not None:
                    order = await self.status(order_id)
                    if order.state in FINAL:
                        return order
                    change = await connection.event()


def _arrays(orders: list[Members]) -> Iterator[list[Members]]:
    """The orders in arrays that a server takes as one document."""
    array: list[Members] = []
    size = 0
    for order in orders:
        length = len(_encode(order)) + _MARKS_BYTES
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


def _members(order: NewOrder, *, add_request_id: bool) -> Members:
    if not isinstance(order, Mapping | OrderRequest):
        raise TypeError(f"an order is a mapping or an OrderRequest, not {type(order).__name__}")
    members: dict[str, Any] = dict(order) if isinstance(order, Mapping) else msgspec.to_builtins(order)
    if add_request_id:
        members.setdefault("request_id", str(uuid.uuid4()))
    return members
