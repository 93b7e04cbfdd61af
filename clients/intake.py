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
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from clients.dial import dial
from clients.errors import AnswerTimeout, ConnectionLost, Refused, Unreachable
from clients.link import Link
from clients.replies import Accepted, Event, Members, Moved, Page, StatsAnswer, StatusAnswer, StoredOrder, read_answer
from shared.domain.orders import OrderRequest
from shared.domain.states import FINAL, State

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_ARRAY_ORDERS = 500
_encode = msgspec.json.Encoder(decimal_format="number").encode

NewOrder = OrderRequest | Mapping[str, Any]
"""An order as a struct, or as the members of its JSON object."""


class IntakeClient:
    """A client of one intake.

    `timeout` is how long an answer may take, in seconds, reconnections included. With `wait_for_room`,
    an order that finds no room is sent again as often as it takes, each time after as long as the server
    asks for.

    Every method raises Refused when the server answers with an error, Unreachable when there is no server,
    AnswerTimeout, and ConnectionLost where sending again would not be safe. A server that was there before
    is waited for until the time-out.
    """

    def __init__(
        self, host: str = "localhost", port: int = 8888, *, timeout: float = 10.0, wait_for_room: bool = False
    ) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        self._wait_for_room = wait_for_room
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self._was_there = False

    async def __aenter__(self) -> "IntakeClient":
        await self._connected(self._deadline())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; a later request opens a new one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _connected(self, deadline: float) -> Link:
        async with self._connecting:
            if self._link is None or not self._link.open:
                self._link = await self._opened(deadline)
            return self._link

    async def _opened(self, deadline: float) -> Link:
        """A new connection. Raises Unreachable."""
        pause = _FIRST_PAUSE
        while True:
            try:
                link = await dial(Link, self._host, self._port)
            except Unreachable:
                if not self._was_there or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._was_there = True
                return link

    async def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and gives the answer as it is; `safe` ones are sent again when an answer is lost."""
        return msgspec.json.decode(await self._send(document, safe=safe))

    async def _send(self, document: Any, *, safe: bool) -> bytes:
        """Sends a document; gives the line that answers it."""
        encoded = _encode(document)
        deadline = self._deadline()
        pause = _FIRST_PAUSE
        lost: ConnectionLost | None = None
        link: Link | None = None
        sent = 0.0
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    link = await self._connected(deadline)
                    sent = asyncio.get_running_loop().time()
                    try:
                        return await link.request(encoded)
                    except ConnectionLost as error:
                        if not safe:
                            raise
                        lost = error
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except Unreachable as error:
            # What was sent before may have taken effect, which Unreachable would deny.
            raise lost or error from error
        except TimeoutError:
            if link is not None and link.last_heard < sent:
                # Nobody is there any more, though nothing has said so.
                link.abort()
            raise lost or _too_late(self._timeout) from None

    async def _ask(self, kind: type[T], document: Any, *, safe: bool = True) -> T:
        """The answer to a document. Raises Refused."""
        return read_answer(kind, await self._send(document, safe=safe))

    async def _ask_members(self, document: Any) -> Members:
        members = await self._ask(Members, document)
        del members["success"]
        return members

    async def order(self, order: NewOrder, *, add_request_id: bool = True) -> Accepted:
        """Places one order; it is on the server's disk when this returns.

        An order without a request_id gets one, so that it can be sent again safely; without
        `add_request_id` it is sent once, and a lost answer raises ConnectionLost.
        """
        members = _members(order, add_request_id=add_request_id)
        while True:
            try:
                return await self._ask(Accepted, members, safe="request_id" in members)
            except Refused as refusal:
                if not self._wait_for_room or refusal.retry_after_ms is None:
                    raise
                await asyncio.sleep(refusal.retry_after_ms / 1000)

    async def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders, some hundreds with one request: what became of each, in order."""
        found: list[Accepted | Refused] = []
        for start in range(0, len(orders), _ARRAY_ORDERS):
            document = [_members(order, add_request_id=True) for order in orders[start : start + _ARRAY_ORDERS]]
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
        document = {"action": "list", "estado": state, "cliente": customer, "desde": since, "hasta": until}
        cursor: str | None = None
        while True:
            page = await self._ask(Page, {**document, "limite": page_size, "cursor": cursor})
            for order in page.orders:
                yield order
            cursor = page.cursor
            if cursor is None:
                return

    async def cancel(self, order_id: str) -> State:
        """Takes an order back that no worker has begun; gives its new state."""
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
        async with self._watching(order_id) as link:
            while (line := await link.event()) is not None:
                yield msgspec.json.decode(line, type=Event)

    async def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final, for as long as it takes."""
        while True:
            async with self._watching(order_id) as link:
                # Asked for once watching has begun, and after each change: no change in between is missed.
                change: bytes | None = b""
                while change is not None:
                    order = await self.status(order_id)
                    if order.state in FINAL:
                        return order
                    change = await link.event()

    @asynccontextmanager
    async def _watching(self, order_id: str | None) -> AsyncGenerator[Link, None]:
        """A connection of its own on which the server tells the changes of orders."""
        deadline = self._deadline()
        link: Link | None = None
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    link = await self._opened(deadline)
                    line = await link.request(_encode({"action": "watch", "id": order_id}))
            except TimeoutError:
                raise _too_late(self._timeout) from None
            read_answer(Members, line)
            yield link
        finally:
            if link is not None:
                link.close()


def _accepted_or_refused(answer: bytes) -> Accepted | Refused:
    try:
        return read_answer(Accepted, answer)
    except Refused as refusal:
        return refusal


def _too_late(timeout: float) -> AnswerTimeout:
    return AnswerTimeout(f"no answer within {timeout:g} s", hint="try again")


def _members(order: NewOrder, *, add_request_id: bool) -> Members:
    if not isinstance(order, Mapping | OrderRequest):
        raise TypeError(f"an order is a mapping or an OrderRequest, not {type(order).__name__}")
    members: dict[str, Any] = dict(order) if isinstance(order, Mapping) else msgspec.to_builtins(order)
    if add_request_id:
        members.setdefault("request_id", str(uuid.uuid4()))
    return members
