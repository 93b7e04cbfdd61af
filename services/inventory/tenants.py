"""Work for all tenants of the installation: their names, views of a client for each, and a queue of those with work."""

import asyncio
import math
from collections.abc import Sequence

import structlog

from clients.accounts.tenants import iterate_tenants
from clients.errors import ClientError
from clients.persistence import PersistenceClient
from shared.domain.tenants import MAIN

_SWEEP_SECONDS = 300.0
"""Interval in which all tenants are looked at, for work that nobody has reported: abandoned uploads, lost reports."""


def view_of(client: PersistenceClient, tenant: str) -> PersistenceClient:
    """Returns the client for the items of a tenant: itself for `main`."""
    return client if tenant == MAIN else client.of(tenant)


async def list_tenant_names(client: PersistenceClient) -> Sequence[str]:
    """Returns the names of all tenants, active or not, and `main` as the last one. Raises ClientError."""
    names = [found.record.tenant async for found in iterate_tenants(client)]
    return [*(name for name in names if name != MAIN), MAIN]


class TenantQueue:
    """Tenants that may have work, each once, and never one that is being worked for.

    `main` comes every `poll_seconds`, the others when `wake` reports them, and all of them every five minutes.
    """

    def __init__(self, client: PersistenceClient, *, poll_seconds: float) -> None:
        self._client = client
        self._poll_seconds = poll_seconds
        self._waiting: dict[str, None] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        """Tenants that were reported while they were being worked for."""
        self._filled = asyncio.Event()
        self._log = structlog.get_logger()

    def wake(self, tenant: str = MAIN) -> None:
        """Reports that a tenant may have work."""
        if tenant in self._busy:
            self._again.add(tenant)
        else:
            self._waiting[tenant] = None
            self._filled.set()

    async def take_tenant(self) -> str:
        """Waits for the next tenant, and returns it; `finish_tenant` has to follow."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        tenant = next(iter(self._waiting))
        del self._waiting[tenant]
        self._busy.add(tenant)
        return tenant

    def finish_tenant(self, tenant: str, *, again: bool = False) -> None:
        """Ends the work for a tenant; with `again` it may have more."""
        self._busy.discard(tenant)
        if again or tenant in self._again:
            self._again.discard(tenant)
            self.wake(tenant)

    async def feed(self) -> None:
        """Adds `main` and, less often, all tenants, until cancelled."""
        clock = asyncio.get_running_loop().time
        swept_at = -math.inf
        while True:
            self.wake(MAIN)
            if clock() - swept_at >= _SWEEP_SECONDS:
                try:
                    for tenant in await list_tenant_names(self._client):
                        self.wake(tenant)
                    swept_at = clock()
                except ClientError as error:
                    self._log.debug("tenants_not_listed", reason=error.message)
            await asyncio.sleep(self._poll_seconds)
