"""Follows the change feed of all tenants, and hands changed books to the keeper of the search indexes.

The position is stored once the indexes have every change before it. After a kill some changes are read again, which
does no harm: books are read from the records. If the position is no longer in the feed, all indexes are built anew.
"""

import asyncio
import contextlib
import re

import structlog

from clients.accounts.tenants import iterate_tenants
from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient, StoredChange
from clients.shop.search_state import (
    SearchProgress,
    finish_request,
    list_requested_indexes,
    load_progress,
    store_progress,
)
from services.shop.index_keeper import IndexKeeper
from shared.domain.books import MAIN_STORE
from shared.domain.names import fold_names
from shared.domain.tables import BOOKS, STOCK, TENANTS
from shared.domain.tenants import MAIN, is_tenant_name

_POLL_SECONDS = 0.05
_PAGE_CHANGES = 1000
_RETRY_SECONDS = 0.5
_WARN_AFTER_FAILURES = 5
_REQUESTS_SECONDS = 1.0
_SWEEP_SECONDS = 5.0
_POSITION_SECONDS = 1.0
# An unchanged position is stored from time to time, so that it does not expire from the feed.
_REFRESH_SECONDS = 30.0
_BOOK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STORE = fold_names(MAIN_STORE)


class IndexFollower:
    """Reads the feed until cancelled; `client` is for the feed, `state` for everything else."""

    def __init__(self, client: PersistenceClient, state: PersistenceClient, keeper: IndexKeeper) -> None:
        self._client = client
        self._state = state
        self._keeper = keeper
        self._position: str | None = None
        self._loaded = asyncio.Event()
        self._sweep = asyncio.Event()
        """Set if tenants have changed."""
        self._failures = 0
        self._log = structlog.get_logger()

    async def follow(self) -> None:
        """Processes pages of the feed as they come."""
        while True:
            try:
                if not self._loaded.is_set():
                    await self._load_progress()
                busy = await self.process_page()
                self._failures = 0
            except ClientError as error:
                await self._wait_after_error(error)
                continue
            await asyncio.sleep(0 if busy else _POLL_SECONDS)

    async def process_page(self) -> bool:
        """Processes a page of changes. Returns whether there may be more. Raises ClientError."""
        try:
            page = await self._client.changes(self._position, tenant=None, limit=_PAGE_CHANGES)
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params") or self._position is None:
                raise
            self._log.warning("book_changes_missed", reason=refusal.message)
            self._position = None
            # The feed begins at its oldest change again, and whatever was before that is in the records.
            for tenant in await self._list_tenants():
                self._keeper.request_build(tenant, "0")
            return True
        changed: dict[str, dict[str, None]] = {}
        for change in page.changes:
            if change.table == TENANTS.name:
                self._sweep.set()
            elif (book := _find_book(change)) is not None and is_tenant_name(change.tenant):
                changed.setdefault(change.tenant, {})[book] = None
        for tenant, books in changed.items():
            self._keeper.add_changes(tenant, books, page.position)
        self._position = page.position
        return len(page.changes) > 0

    async def store_positions(self) -> None:
        """Stores the progress from time to time, once the indexes have all changes before the position."""
        clock = asyncio.get_running_loop().time
        stored, stored_at = None, 0.0
        await self._loaded.wait()
        while True:
            position = self._position
            await self._keeper.settle()
            if position is not None and (position != stored or clock() > stored_at + _REFRESH_SECONDS):
                with contextlib.suppress(ClientError):
                    await store_progress(self._state, SearchProgress(position, self._keeper.clock.limit))
                    stored, stored_at = position, clock()
            await asyncio.sleep(_POSITION_SECONDS)

    async def check_indexes(self) -> None:
        """Has missing indexes built: of new tenants, deleted, damaged, and of another version."""
        await self._loaded.wait()
        while True:
            self._sweep.clear()
            try:
                for tenant in await self._list_tenants():
                    await self._keeper.check_index(tenant, self._position or "0")
            except ClientError as error:
                self._log.debug("tenants_not_listed", reason=error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._sweep.wait()

    async def serve_requests(self) -> None:
        """Has indexes built that a user has asked for."""
        await self._loaded.wait()
        while True:
            with contextlib.suppress(ClientError):
                for tenant, number in (await list_requested_indexes(self._state)).items():
                    if is_tenant_name(tenant):
                        self._log.info("search_index_requested", tenant=tenant)
                        self._keeper.request_build(tenant, self._position or "0")
                        await self._keeper.settle(tenant)
                    await finish_request(self._state, tenant, number)
            await asyncio.sleep(_REQUESTS_SECONDS)

    async def _load_progress(self) -> None:
        progress = await load_progress(self._state)
        if progress is not None:
            self._position = progress.position
            self._keeper.clock.continue_behind(progress.versions)
        self._loaded.set()

    async def _list_tenants(self) -> list[str]:
        """Returns the names of all tenants. Raises ClientError."""
        names = [found.record.tenant async for found in iterate_tenants(self._state)]
        return list(dict.fromkeys([MAIN, *names]))

    async def _wait_after_error(self, error: ClientError) -> None:
        self._failures += 1
        # Servers that start at the same time are not reported as unavailable.
        if self._failures == _WARN_AFTER_FAILURES:
            self._log.warning("server_unavailable", waiting="search", reason=error.message)
        await asyncio.sleep(_RETRY_SECONDS)


def _find_book(change: StoredChange) -> str | None:
    """Returns the id of the book that a change is about, of its record or of its copies; None for others."""
    last = change.new or change.old
    item = None if last is None else last.item
    if item is None:
        return None
    if change.table == BOOKS.name:
        name = item.get("book")
    elif change.table == STOCK.name and fold_names(str(item.get("store"))) == _STORE:
        name = item.get("item")
    else:
        return None
    return name if isinstance(name, str) and _BOOK_ID.fullmatch(name) else None
