"""The same client for programs without an event loop.

with BlockingIntakeClient("localhost", 8888) as client:
    accepted = client.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})

The event loop runs during calls only, so it is for one thread, and not for one that runs a loop already.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from clients.access import OPEN, Access
from clients.errors import Refused
from clients.intake import IntakeClient, NewOrder
from clients.replies import Accepted, Event, Members, StoredOrder
from shared.domain.states import State

T = TypeVar("T")


class BlockingIntakeClient:
    """`IntakeClient`, one call at a time; for one thread. See there for the methods and their errors."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8888,
        access: Access = OPEN,
        *,
        timeout: float = 10.0,
        wait_for_room: bool = False,
    ) -> None:
        self._runner = asyncio.Runner()
        self._client = IntakeClient(host, port, access, timeout=timeout, wait_for_room=wait_for_room)

    def __enter__(self) -> "BlockingIntakeClient":
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(items, None)

        while (item := self._run(following())) is not None:
            yield item

    def close(self) -> None:
        """Ends the connection and the event loop."""
        self._client.close()
        self._runner.close()

    def order(self, order: NewOrder, *, add_request_id: bool = True) -> Accepted:
        """Places one order."""
        return self._run(self._client.order(order, add_request_id=add_request_id))

    def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders with one request."""
        return self._run(self._client.orders(orders))

    def status(self, order_id: str) -> StoredOrder:
        """One order."""
        return self._run(self._client.status(order_id))

    def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final."""
        return self._run(self._client.follow(order_id))

    def explain(self, order_id: str) -> Members:
        """What happened to an order, and when."""
        return self._run(self._client.explain(order_id))

    def list(
        self,
        *,
        state: State | str | None = None,
        customer: str | None = None,
        since: datetime.datetime | str | None = None,
        until: datetime.datetime | str | None = None,
        page_size: int = 100,
    ) -> Iterator[StoredOrder]:
        """Orders, newest first."""
        return self._iterate(
            self._client.list(state=state, customer=customer, since=since, until=until, page_size=page_size)
        )

    def watch(self, order_id: str | None = None) -> Iterator[Event]:
        """Changes of all orders, or of one."""
        return self._iterate(self._client.watch(order_id))

    def cancel(self, order_id: str) -> State:
        """Takes an order back, or discards one that has failed."""
        return self._run(self._client.cancel(order_id))

    def retry(self, order_id: str) -> State:
        """Gives a failed order one more attempt."""
        return self._run(self._client.retry(order_id))

    def stats(self) -> Members:
        """The server's numbers."""
        return self._run(self._client.stats())

    def health(self) -> Members:
        """How the server and its workers are."""
        return self._run(self._client.health())

    def help(self, topic: str | None = None) -> Members:
        """What the server says about itself."""
        return self._run(self._client.help(topic))

    def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and gives the answer as it is."""
        return self._run(self._client.request(document, safe=safe))

    def ping(self) -> None:
        """Returns when the server answers."""
        self._run(self._client.ping())
