"""The tenants as the gateway knows them: their settings, hosts and origins, a few seconds old at most."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from contextvars import Context

import msgspec
import structlog

from clients.persistence import PersistenceClient
from shared.domain.errors import ComandaError, Unavailable
from shared.domain.tables import TENANTS
from shared.domain.tenants import MAIN, TenantRecord

FRESH_SECONDS = 5.0
STALE_SECONDS = 10.0
"""Age at which requests wait for the tenants to be read again, as after an hour without requests."""
_RETRY_SECONDS = 1.0
# Reading all tenants takes at most this part of the time, however many there are.
_LOAD_SHARE = 0.05
MAX_TENANTS = 100_000
_PAGE = 1000


class TenantDirectory:
    """All tenants, read again in the background when they are needed and older than FRESH_SECONDS.

    `read_tenants` yields them. Requests wait up to `wait_seconds` for tenants older than STALE_SECONDS, so a change is
    in force within that time. While the store is away, the directory answers with what it read last. `own_origins` are
    those of the tenant `main` that a setting names.
    """

    def __init__(
        self,
        read_tenants: Callable[[], AsyncIterator[TenantRecord]],
        clock: Callable[[], float],
        own_origins: Collection[str] = (),
        *,
        wait_seconds: float = 1.0,
    ) -> None:
        self._read_tenants = read_tenants
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._records: dict[str, TenantRecord] = {}
        self._hosts: dict[str, str] = {}
        self._own_origins = frozenset(own_origins)
        self.origins = self._own_origins
        """Origins of the pages of any active tenant."""
        self._next_load = -1.0
        self._stale_at = -1.0
        self._loaded = False
        self._answers = True
        """Whether the last attempt to read the tenants was answered in time."""
        self._loading: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    async def refresh(self) -> None:
        """Reads the tenants if they are not fresh. Raises Unavailable if they could not be read once so far."""
        if self._clock() < self._next_load and self._loaded:
            return
        self.refresh_soon()
        if self._answers and self._loading is not None and (not self._loaded or self._clock() >= self._stale_at):
            # One wait is enough to learn that the store is away. Requests that need no tenant, such as new orders, must
            # not wait for it longer.
            done, _ = await asyncio.wait([self._loading], timeout=self._wait_seconds)
            self._answers = self._answers and bool(done)
        if not self._loaded:
            raise Unavailable("the tenants cannot be read", hint="try again later; nothing was done")

    async def refresh_if_possible(self) -> None:
        """Reads the tenants if they are not fresh; goes on without them if the store is away."""
        with contextlib.suppress(Unavailable):
            await self.refresh()

    def refresh_soon(self) -> None:
        """Reads the tenants in the background if they are not fresh."""
        # The task has no deadline of the request that starts it.
        if self._loading is None and self._clock() >= self._next_load:
            self._loading = asyncio.get_running_loop().create_task(self._load(), name="read tenants", context=Context())

    def find(self, tenant: str) -> TenantRecord | None:
        """Returns an active tenant, or None."""
        record = self._records.get(tenant)
        return record if record is not None and record.active else None

    def find_by_host(self, host: str) -> str | None:
        """Returns the tenant to which requests for a host name belong, or None."""
        return self._hosts.get(host)

    def find_origins(self, tenant: str) -> Collection[str]:
        """Returns the origins of pages that may call the API for a tenant."""
        record = self.find(tenant)
        named = () if record is None else record.origins
        return {*named, *self._own_origins} if tenant == MAIN else named

    async def is_host(self, host: str) -> bool:
        """Whether a host name is that of a tenant."""
        await self.refresh_if_possible()
        return host in self._hosts

    def close(self) -> None:
        """Ends reading."""
        if self._loading is not None:
            self._loading.cancel()

    async def _load(self) -> None:
        began = self._clock()
        try:
            records: dict[str, TenantRecord] = {}
            async for record in self._read_tenants():
                records[record.tenant] = record
                if len(records) >= MAX_TENANTS:
                    self._log.warning("tenants_left_out", limit=MAX_TENANTS)
                    break
        except ComandaError as error:
            self._log.warning("tenants_unreadable", reason=error.message)
            self._answers = False
            self._next_load = self._clock() + _RETRY_SECONDS
            return
        finally:
            self._loading = None
        self._take(records)
        now = self._clock()
        self._next_load = now + max(FRESH_SECONDS, (now - began) / _LOAD_SHARE)
        self._stale_at = max(began + STALE_SECONDS, self._next_load)
        self._answers = True

    def _take(self, records: dict[str, TenantRecord]) -> None:
        self._records = records
        self._loaded = True
        active = [record for record in records.values() if record.active]
        # A host that two tenants name belongs to the first by name: `tenant set` refuses the second.
        self._hosts = {host: record.tenant for record in reversed(active) for host in record.hosts}
        named = frozenset(origin for record in active for origin in record.origins)
        self.origins = self._own_origins | named


async def read_tenants(records: PersistenceClient) -> AsyncIterator[TenantRecord]:
    """Yields all tenants by their names, from the table `Tenants`."""
    cursor: str | None = None
    while True:
        page = await records.query(TENANTS.name, "all", page_size=_PAGE, cursor=cursor)
        for stored in page.items:
            try:
                yield msgspec.convert(stored.item, TenantRecord)
            except msgspec.ValidationError as error:
                structlog.get_logger().warning("tenant_record_invalid", reason=str(error))
        cursor = page.cursor
        if cursor is None:
            return
