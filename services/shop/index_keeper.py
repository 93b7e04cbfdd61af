"""Keeps the search index of each tenant: applies changed books, and builds an index that is missing."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

import structlog

from clients.errors import ClientError
from clients.persistence import PersistenceClient
from services.shop.book_documents import ReadClock, iterate_documents, read_changes
from shared.domain.errors import ComandaError, IndexMissing
from shared.domain.tenants import MAIN
from shared.runtime.backoff import Backoff
from shared.search.port import BookIndex

_Failure = Literal["server", "index"]

_BATCH_BOOKS = 500
_MAX_WAITING = 100_000
"""Changed books of one tenant that are remembered. If there are more, its index is built anew."""
_FIRST_RETRY, _LONGEST_RETRY = 0.2, 15.0


class _Tenant:
    """The changed books of a tenant that are not in its index yet."""

    def __init__(self) -> None:
        self.waiting: dict[str, None] = {}
        self.position = ""
        """The position in the feed behind the last of them."""
        self.build = False
        """Whether the index has to be built."""
        self.building = False
        self.failed: _Failure | None = None
        """The part that fails at present."""
        self.task: asyncio.Task[None] | None = None
        self.added = 0
        """How often changes were added; `done` of these are in the index."""
        self.done = 0
        self.backoff = Backoff(_FIRST_RETRY, _LONGEST_RETRY)


class IndexKeeper:
    """The search indexes of all tenants. What is added is applied in the background, each tenant for itself.

    Books are read from the records when they are applied, so changes of one book may be joined, repeated, and come in
    any order. A failure (a full disk, a server that is away) is retried, and nothing that was added is lost.
    """

    def __init__(self, index: BookIndex, client: PersistenceClient, *, at_once: int) -> None:
        self._index = index
        self._client = client
        self.clock = ReadClock()
        """The versions of documents."""
        self._tenants: dict[str, _Tenant] = {}
        """Those with work."""
        self._places = asyncio.Semaphore(at_once)
        # Building takes memory.
        self._building = asyncio.Lock()
        self._changed = asyncio.Event()
        self._log = structlog.get_logger()

    @property
    def building(self) -> list[str]:
        """The tenants whose index is being built."""
        return sorted(name for name, tenant in self._tenants.items() if tenant.building or tenant.build)

    @property
    def behind(self) -> list[str]:
        """The tenants whose index cannot store changes now."""
        return sorted(name for name, tenant in self._tenants.items() if tenant.failed == "index")

    def add_changes(self, tenant: str, books: Iterable[str], position: str) -> None:
        """Adds changed books of a tenant; `position` is the place in the feed behind their changes."""
        found = self._tenants.setdefault(tenant, _Tenant())
        found.waiting.update(dict.fromkeys(books))
        if len(found.waiting) > _MAX_WAITING:
            found.build = True
            found.waiting.clear()
        found.position = position
        self._start(tenant, found)

    def request_build(self, tenant: str, position: str) -> None:
        """Has the index of a tenant built, beside the one that answers meanwhile."""
        found = self._tenants.setdefault(tenant, _Tenant())
        found.build = True
        found.position = position
        self._start(tenant, found)

    async def check_index(self, tenant: str, position: str) -> None:
        """Has the index of a tenant built if there is none that can be used."""
        if tenant in self._tenants:
            return
        try:
            usable = await self._index.position(tenant) is not None
        except ComandaError as error:
            self._log.debug("search_index_not_checked", tenant=tenant, reason=error.message)
            return
        if not usable:
            self._log.info("search_index_missing", tenant=tenant)
            self.request_build(tenant, position)

    async def settle(self, *names: str) -> None:
        """Waits until the indexes have everything that has been added so far, of all tenants or some."""
        waited = {name: (tenant, tenant.added) for name, tenant in self._tenants.items() if not names or name in names}
        while any(self._tenants.get(name) is one and one.done < added for name, (one, added) in waited.items()):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Ends the work; what is not in an index yet has to be added again."""
        tasks = [tenant.task for tenant in self._tenants.values() if tenant.task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _start(self, name: str, tenant: _Tenant) -> None:
        tenant.added += 1
        if tenant.task is None:
            tenant.task = asyncio.create_task(self._work(name, tenant), name=f"index {name}")

    async def _work(self, name: str, tenant: _Tenant) -> None:
        """Applies the changes of a tenant until there are none."""
        while tenant.done < tenant.added:
            added = tenant.added
            try:
                await self._catch_up(name, tenant)
            except ComandaError as error:
                await self._wait_after_error(name, tenant, error)
                continue
            except Exception:
                # A fault of one index must not end the others.
                self._log.exception("search_index_failed", tenant=name)
                await asyncio.sleep(tenant.backoff.next_delay())
                continue
            tenant.failed = None
            tenant.backoff.reset()
            tenant.done = added
            self._changed.set()
        del self._tenants[name]
        self._changed.set()

    async def _catch_up(self, name: str, tenant: _Tenant) -> None:
        """Brings an index up to date. Raises ComandaError; what was not applied waits again."""
        if tenant.build:
            await self._build(name, tenant)
        records = self._client if name == MAIN else self._client.of(name)
        while tenant.waiting:
            books = list(tenant.waiting)[:_BATCH_BOOKS]
            position = tenant.position
            for book in books:
                del tenant.waiting[book]
            try:
                async with self._places:
                    # Read after they were taken: a later change adds the book again.
                    changes = await read_changes(records, books, self.clock.next_version())
                    await self._index.apply(name, changes, position)
            except IndexMissing:
                await self._build(name, tenant)
            except BaseException:
                tenant.waiting.update(dict.fromkeys(books))
                raise

    async def _build(self, name: str, tenant: _Tenant) -> None:
        """Builds an index from the records. It has all changes that were added before it began."""
        records = self._client if name == MAIN else self._client.of(name)
        tenant.build = True
        async with self._building:
            tenant.building = True
            tenant.waiting.clear()
            began = asyncio.get_running_loop().time()
            try:
                await self._index.build(
                    name, iterate_documents(records, self.clock.next_version()), tenant.position or "0"
                )
            finally:
                tenant.building = False
        tenant.build = False
        seconds = asyncio.get_running_loop().time() - began
        self._log.info("search_index_built", tenant=name, seconds=round(seconds, 3))

    async def _wait_after_error(self, name: str, tenant: _Tenant, error: ComandaError) -> None:
        failure: _Failure = "server" if isinstance(error, ClientError) else "index"
        if tenant.failed != failure:
            tenant.failed = failure
            if failure == "server":
                self._log.warning("server_unavailable", waiting=f"search of {name}", reason=error.message)
            else:
                self._log.warning("search_index_behind", tenant=name, reason=error.message)
        await asyncio.sleep(tenant.backoff.next_delay())
