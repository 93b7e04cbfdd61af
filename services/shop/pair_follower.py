"""Counts what is bought together, from the change feed of all tenants."""

import asyncio
import datetime
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from clients.accounts.tenants import iterate_tenants
from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient, StoredChange
from shared.domain.errors import StoreError
from shared.domain.purchases import SHARDS
from shared.domain.tables import PURCHASES
from shared.domain.tenants import MAIN
from shared.recommendations.pair_file import SALES_DAYS, PairWriter, PurchaseChange, delete_pairs, shows_damage

_POLL_SECONDS = 1.0
_PAGE_CHANGES = 1000
# The position is stored from time to time, so that it does not expire from the feed.
_POSITION_SECONDS = 30.0
_FIRST_DAY = datetime.date(2026, 11, 27)
"""Purchases exist since this day."""


class PairFollower:
    """Keeps the file of counts up to date until cancelled. A missing or damaged file is rebuilt."""

    def __init__(self, client: PersistenceClient, path: Path) -> None:
        self._client = client
        self._path = path
        self._writer: PairWriter | None = None
        self._position: str | None = None
        # SQLite calls of one connection, one at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pairs")
        self._stored_at = 0.0
        self._forgotten: datetime.date | None = None
        """The first day of which the sales are kept."""
        self._failed = False
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Counts changes as they come."""
        try:
            while True:
                try:
                    busy = await self.process_page()
                    self._failed = False
                except (ClientError, StoreError) as error:
                    await self._close()
                    if not self._failed and isinstance(error, StoreError):
                        self._log.warning("recommendations_behind", reason=error.message)
                    self._failed = True
                    busy = False
                if not busy:
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            await self._close()
            self._thread.shutdown(wait=False)

    async def process_page(self) -> bool:
        """Counts a page of changes. Returns whether there may be more. Raises ClientError and StoreError."""
        if self._writer is None or not self._path.exists():
            await self._open()
        assert self._writer is not None
        try:
            page = await self._client.changes(self._position, tenant=None, limit=_PAGE_CHANGES)
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params") or self._position is None:
                raise
            self._log.warning("counted_purchases_missed", reason=refusal.message)
            await self._close()
            await self._call(partial(delete_pairs, self._path))
            return True
        changes = [found for change in page.changes if (found := _read_change(change)) is not None]
        now = asyncio.get_running_loop().time()
        if changes or (page.position != self._position and now > self._stored_at + _POSITION_SECONDS):
            await self._call(partial(self._writer.count_changes, changes, page.position))
            self._stored_at = now
        self._position = page.position
        first = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=SALES_DAYS)
        if first != self._forgotten:
            await self._call(partial(self._writer.forget_sales, first))
            self._forgotten = first
        return bool(page.changes)

    async def _open(self) -> None:
        """Opens the file; a new one is filled with the purchases in the records."""
        await self._close()
        try:
            self._writer = await self._call(partial(PairWriter, self._path))
            self._position = await self._call(self._writer.read_position)
        except StoreError as error:
            if not shows_damage(error):
                raise
            self._log.warning("recommendations_damaged", reason=error.message)
            await self._close()
            await self._call(partial(delete_pairs, self._path))
            self._writer = await self._call(partial(PairWriter, self._path))
            self._position = None
        if self._position is None:
            async for tenant, since in _list_tenants(self._client):
                await self._count_records(tenant, since)

    async def _count_records(self, tenant: str, since: datetime.date) -> None:
        assert self._writer is not None
        records = self._client if tenant == MAIN else self._client.of(tenant)
        day = since
        while day <= datetime.datetime.now(datetime.UTC).date():
            for shard in range(SHARDS):
                partition = f"{day.isoformat()}#{shard:x}"
                async for page in records.iterate_pages(PURCHASES.name, "by_day", partition=partition, page_size=500):
                    changes = [
                        _make_change(tenant, stored.item, stored.version)
                        for stored in page.items
                        if stored.item is not None
                    ]
                    await self._call(partial(self._writer.count_changes, changes, None))
            day += datetime.timedelta(days=1)

    async def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._call(writer.close)

    async def _call(self, function: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


async def _list_tenants(client: PersistenceClient) -> Any:
    """Yields all tenants, and the first day on which each may have a purchase."""
    yield MAIN, _FIRST_DAY
    async for found in iterate_tenants(client):
        if found.record.tenant != MAIN:
            created = found.record.created_at[:10]
            yield found.record.tenant, max(_FIRST_DAY, datetime.date.fromisoformat(created) if created else _FIRST_DAY)


def _read_change(change: StoredChange) -> PurchaseChange | None:
    if change.table != PURCHASES.name:
        return None
    if change.new is not None and change.new.item is not None:
        return _make_change(change.tenant, change.new.item, change.new.version)
    if change.old is None or change.old.item is None:
        return None
    # The removal of a purchase comes after its last version.
    return _make_change(change.tenant, change.old.item, change.old.version + 1)._replace(counts=False)


def _make_change(tenant: str, item: dict[str, Any], version: int) -> PurchaseChange:
    books: Sequence[str] = [str(line["book_id"]) for line in item.get("items", ())]
    counts, day = item.get("status") != "cancelled", str(item["day"])[:10]
    return PurchaseChange(tenant, item["user"], item["purchase"], version, counts, books, day)
