"""The blocking client of the order intake, for programs without an event loop.

with BlockingIntakeClient("localhost", 8888) as client:
    accepted = client.order({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})

The client's event loop runs only during calls. So a client belongs to one thread, which may not run another loop.
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
    """The methods of `IntakeClient`, as blocking calls from one thread. See there for their errors."""

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
            self._run_coroutine(self._client.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run_coroutine(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    def _iterate_blocking(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def next_item() -> T | None:
            return await anext(items, None)

        while (item := self._run_coroutine(next_item())) is not None:
            yield item

    def close(self) -> None:
        """Closes the connection and the event loop."""
        self._client.close()
        self._runner.close()

    def order(self, order: NewOrder, *, add_request_id: bool = True) -> Accepted:
        """Places one order."""
        return self._run_coroutine(self._client.order(order, add_request_id=add_request_id))

    def orders(self, orders: Sequence[NewOrder]) -> list[Accepted | Refused]:
        """Places several orders; some hundreds go with one request."""
        return self._run_coroutine(self._client.orders(orders))

    def status(self, order_id: str) -> StoredOrder:
        """Returns one order."""
        return self._run_coroutine(self._client.status(order_id))

    def follow(self, order_id: str) -> StoredOrder:
        """Waits until an order is final and returns it."""
        return self._run_coroutine(self._client.follow(order_id))

    def explain(self, order_id: str) -> Members:
        """Returns the history of an order."""
        return self._run_coroutine(self._client.explain(order_id))

    def list(
        self,
        *,
        state: State | str | None = None,
        customer: str | None = None,
        since: datetime.datetime | str | None = None,
        until: datetime.datetime | str | None = None,
        page_size: int = 100,
    ) -> Iterator[StoredOrder]:
        """Yields orders, newest first."""
        return self._iterate_blocking(
            self._client.list(state=state, customer=customer, since=since, until=until, page_size=page_size)
        )

    def watch(self, order_id: str | None = None) -> Iterator[Event]:
        """Yields changes of all orders, or of one."""
        return self._iterate_blocking(self._client.watch(order_id))

    def cancel(self, order_id: str) -> State:
        """Cancels a waiting order, or discards a failed one; returns its new state."""
        return self._run_coroutine(self._client.cancel(order_id))

    def retry(self, order_id: str) -> State:
        """Queues a failed order for another attempt; returns its new state."""
        return self._run_coroutine(self._client.retry(order_id))

    def stats(self) -> Members:
        """Returns the intake's statistics."""
        return self._run_coroutine(self._client.stats())

    def health(self) -> Members:
        """Returns the health of the intake and its workers."""
        return self._run_coroutine(self._client.health())

    def help(self, topic: str | None = None) -> Members:
        """Returns the intake's help."""
        return self._run_coroutine(self._client.help(topic))

    def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and returns the decoded answer."""
        return self._run_coroutine(self._client.request(document, safe=safe))

    def ping(self) -> None:
        """Returns when the server answers."""
        self._run_coroutine(self._client.ping())
