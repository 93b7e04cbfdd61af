"""The asyncio client of the order intake.

    async with IntakeClient("localhost", 8888) as client:
        accepted = await client.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})
        order = await client.status(accepted.id)

Any number of tasks may use one client at a time: requests share one connection and are pipelined. A
connection that breaks is opened again. A request whose answer was lost is sent again only where that is
safe: reads, and orders under their request_id.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from clients.errors import AnswerTimeout, ConnectionLost, Refused, Unreachable
from clients.link import Link, connect
from clients.replies import Accepted, Event, Members, StoredOrder
from shared.domain.orders import OrderRequest
from shared.domain.states import FINAL

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_encode = msgspec.json.Encoder(decimal_format="number").encode

NewOrder = OrderRequest | Mapping[str, Any]
"""An order as a struct, or as the members of its JSON object."""


class IntakeClient:
    """A client of one intake. `timeout` is how long an answer, reconnections included, may take, in seconds.

    Every method raises Refused when the server answers with an error, Unreachable when there is no server,
    AnswerTimeout, and ConnectionLost where sending again would not be safe.
    """

    def __init__(self, host: str = "localhost", port: int = 8888, *, timeout: float = 10.0) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        self._link: Link | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> "IntakeClient":
        await self._connected()
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

    async def _connected(self) -> Link:
        async with self._connecting:
            if self._link is None or not self._link.open:
                self._link = await connect(self._host, self._port)
            return self._link

    async def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and gives the answer as it is; `safe` ones are sent again when an answer is lost."""
        encoded = _encode(document)
        pause = _FIRST_PAUSE
        last: ConnectionLost | Unreachable | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        link = await self._connected()
                        return await link.request(encoded)
                    except Unreachable as error:
                        if last is None:
                            raise
                        last = error
                    except ConnectionLost as error:
                        if not safe:
                            raise
                        last = error
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except TimeoutError:
            raise last or AnswerTimeout(f"no answer within {self._timeout:g} s", hint="try again") from None

    async def _ask(self, document: Members, *, safe: bool = True) -> Members:
        answer = await self.request(document, safe=safe)
        if not answer["success"]:
            raise Refused(answer)
        members: Members = answer
        return members

    async def order(self, order: NewOrder) -> Accepted:
        """Places one order; it is on the server's disk when this returns.

        An order without a request_id gets one, so that it can be sent again safely.
        """
        answer = await self._ask(_with_request_id(order))
        return msgspec.convert(answer, Accepted)

    async def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders with one request: what became of each, in order."""
        answers = await self.request([_with_request_id(order) for order in orders], safe=True)
        if isinstance(answers, dict):
            raise Refused(answers)
        return [msgspec.convert(answer, Accepted) if answer["success"] else Refused(answer) for answer in answers]

    async def status(self, order_id: str) -> StoredOrder:
        """One order."""
        answer = await self._ask({"action": "status", "id": order_id})
        return msgspec.convert(answer["pedido"], StoredOrder)

    async def explain(self, order_id: str) -> Members:
        """What happened to an order, and when."""
        return await self._ask({"action": "explain", "id": order_id})

    async def list(self, *, page_size: int = 100, **filters: Any) -> AsyncGenerator[StoredOrder, None]:
        """Orders, newest first; `filters` are those of the action `list` (estado, cliente, desde, hasta)."""
        cursor: str | None = None
        while True:
            answer = await self._ask({"action": "list", "limite": page_size, "cursor": cursor, **filters})
            for order in answer["pedidos"]:
                yield msgspec.convert(order, StoredOrder)
            cursor = answer["cursor"]
            if cursor is None:
                return

    async def cancel(self, order_id: str) -> None:
        """Takes an order back that no worker has begun."""
        await self._ask({"action": "cancel", "id": order_id}, safe=False)

    async def retry(self, order_id: str) -> None:
        """Gives a failed order one more attempt."""
        await self._ask({"action": "retry", "id": order_id}, safe=False)

    async def stats(self) -> Members:
        """The server's numbers."""
        stats: Members = (await self._ask({"action": "stats"}))["stats"]
        return stats

    async def health(self) -> Members:
        """How the server and its workers are."""
        return await self._ask({"action": "health"})

    async def ping(self) -> None:
        """Returns when the server answers."""
        await self._ask({"action": "ping"})

    async def watch(self, order_id: str | None = None) -> AsyncGenerator[Event, None]:
        """Changes of all orders, or of one until it is final, over a connection of its own.

        Ends when the server ends the connection.
        """
        link = await connect(self._host, self._port)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await link.request(_encode({"action": "watch", "id": order_id}))
            if not answer["success"]:
                raise Refused(answer)
            while (message := await link.events.get()) is not None:
                yield msgspec.convert(message, Event)
        finally:
            link.close()

    async def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final."""
        async for _ in self._changes(order_id):
            order = await self.status(order_id)
            if order.state in FINAL:
                return order
        raise ConnectionLost("the connection ended before the order was final", hint="ask for its status")

    async def _changes(self, order_id: str) -> AsyncGenerator[None, None]:
        """Once watching has begun, and then after each change: what happens in between is not missed."""
        link = await connect(self._host, self._port)
        try:
            await link.request(_encode({"action": "watch", "id": order_id}))
            yield
            while await link.events.get() is not None:
                yield
        finally:
            link.close()


def _with_request_id(order: NewOrder) -> Members:
    members: dict[str, Any] = dict(order) if isinstance(order, Mapping) else msgspec.to_builtins(order)
    members.setdefault("request_id", str(uuid.uuid4()))
    return members
