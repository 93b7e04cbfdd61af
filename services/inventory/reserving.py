"""A handler that reserves stock for orders before it processes them.

    ORDER_HANDLER=services.inventory.reserving:Reserving

Subclasses define how an order is processed after that:

    class Kitchen(Reserving):
        async def work(self, job: Job) -> None:
            await bake(job.order.items)

An order ends `fallido` at once if a stocked product is out of stock. When an order ends `fallido` or `cancelado`, the
inventory service releases its stock.
"""

import asyncio
from collections.abc import Mapping, Sequence

from clients.access import Access, client_tls
from clients.persistence import PersistenceClient
from services.inventory.reservations import Reserver
from workers.handlers import Job, Kit


class Reserving:
    """Reserves the stocked products of an order before `work`. Raises OSError for unreadable certificates."""

    def __init__(self, kit: Kit) -> None:
        self._seconds = kit.processing_seconds
        access = Access(kit.service_token, None if kit.trusted is None else client_tls(kit.trusted))
        self._client = PersistenceClient(kit.persistence_host, kit.persistence_port, access)
        self._reserver = Reserver(self._client, kit.unstocked_items)

    async def prepare(self, jobs: Sequence[Job]) -> Mapping[str, Exception | str]:
        """Reserves stock for a batch of orders.

        Returns rejections, and notes on products that are not stocked, by order id.
        """
        return await self._reserver.reserve_orders(jobs)

    async def __call__(self, job: Job) -> None:
        """Processes an order whose stock is reserved."""
        await self.work(job)

    async def work(self, job: Job) -> None:
        """Waits for `PROCESSING_SECONDS`."""
        if self._seconds:
            await asyncio.sleep(self._seconds)

    async def close(self) -> None:
        """Closes the connection to the persistence server."""
        self._client.close()
