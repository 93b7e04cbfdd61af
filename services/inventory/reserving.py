"""A handler that takes what orders need from the stock before it works on them.

    ORDER_HANDLER=services.inventory.reserving:Reserving

What is done with an order then is up to a class of one's own:

    class Kitchen(Reserving):
        async def work(self, job: Job) -> None:
            await bake(job.order.items)

An order ends `fallido` at once when something that is stocked is out of stock. What it had taken is given back when it
ends `fallido` or `cancelado`, which the inventory service sees to.
"""

import asyncio
from collections.abc import Mapping, Sequence

from clients.access import Access, client_tls
from clients.persistence import PersistenceClient
from services.inventory.reservations import Reserver
from workers.handlers import Job, Kit


class Reserving:
    """Orders reach `work` with all that is stocked of them reserved. Raises OSError for certificates it cannot read."""

    def __init__(self, kit: Kit) -> None:
        self._seconds = kit.processing_seconds
        access = Access(kit.service_token, None if kit.trusted is None else client_tls(kit.trusted))
        self._client = PersistenceClient(kit.persistence_host, kit.persistence_port, access)
        self._reserver = Reserver(self._client, kit.unstocked_items)

    async def prepare(self, jobs: Sequence[Job]) -> Mapping[str, Exception | str]:
        """Reserves for all of them; gives those that cannot be served, and why, and what is not stocked."""
        return await self._reserver.reserve(jobs)

    async def __call__(self, job: Job) -> None:
        """Works on an order that has been prepared."""
        await self.work(job)

    async def work(self, job: Job) -> None:
        """Waits for `PROCESSING_SECONDS`."""
        if self._seconds:
            await asyncio.sleep(self._seconds)

    async def close(self) -> None:
        """Leaves the persistence server."""
        self._client.close()
