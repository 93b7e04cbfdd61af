"""Applies and undoes the imports of all tenants, several tenants at a time."""

import asyncio

import structlog

from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient
from services.inventory.server_retry import PERMANENT_ERRORS, ServerRetry
from services.inventory.tenant_imports import TenantImports
from services.inventory.tenants import TenantQueue, view_of
from shared.domain.tenants import MAIN

_POLL_SECONDS = 1.0
# The large import of one tenant leaves room for those of others.
_TENANTS_AT_ONCE = 4
_MAX_KNOWN = 1000


class ImportApplier:
    """Applies accepted imports until cancelled. `wake` reports a tenant with a new one."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._queue = TenantQueue(client, poll_seconds=_POLL_SECONDS)
        self._imports: dict[str, TenantImports] = {}
        self._server_retry = ServerRetry("imports")
        self._log = structlog.get_logger()

    def wake(self, tenant: str = MAIN) -> None:
        """Reports that an import of a tenant was accepted or is to be undone."""
        self._queue.wake(tenant)

    async def run(self) -> None:
        """Processes the imports of each tenant in the order of their arrival."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._queue.feed())
            for _ in range(_TENANTS_AT_ONCE):
                parts.create_task(self._process_tenants())

    async def _process_tenants(self) -> None:
        while True:
            tenant = await self._queue.take_tenant()
            again = True
            try:
                again = await self._get_imports(tenant).process_imports()
                self._server_retry.record_answer()
            except ClientError as error:
                if tenant != MAIN and isinstance(error, Refused) and error.error in PERMANENT_ERRORS:
                    # The invalid records of one tenant must not hold up the others; it is tried again with the next
                    # look at all tenants.
                    self._log.error("tenant_imports_failed", tenant=tenant, reason=error.message)
                    again = False
                else:
                    await self._server_retry.wait_after_error(error)
            self._queue.finish_tenant(tenant, again=again)

    def _get_imports(self, tenant: str) -> TenantImports:
        if tenant not in self._imports:
            if len(self._imports) >= _MAX_KNOWN:
                self._imports.clear()
            self._imports[tenant] = TenantImports(view_of(self._client, tenant))
        return self._imports[tenant]
