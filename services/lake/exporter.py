"""Writes changes of records and orders into files of events, exactly once.

A batch is first written, file by file under names made of the position before it, and then the position behind it is
stored. After a kill in between, the batch is written again: its files have the same names, and rows that are in two
files have the same key and version, which the files of the days know.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import structlog

from clients.errors import Refused
from clients.persistence import PersistenceClient, StoredChange, StoredItem
from services.lake.progress import LakeDay, LakeProgress
from services.lake.state_keeper import DirtyDays
from shared.domain.errors import InvalidParams
from shared.domain.tables import BOOKS, PURCHASES, SCORES, STOCK
from shared.domain.tenants import is_tenant_name
from shared.lake.layout import day_folder, name_batch
from shared.lake.rows import EventRow, ItemChange, iterate_step_rows, make_purchase_row, make_score_row, make_stock_row
from shared.lake.storage import LakeStorage
from shared.lake.tables import BOOKS as BOOKS_TABLE
from shared.lake.tables import FORGOTTEN, ORDER_STEPS, ORDER_TENANT
from shared.stores.ports.feeds import OrderFeed

_PAGE_CHANGES: Final = 1000
_BATCH_CHANGES: Final = 20_000
_PAGE_ORDERS: Final = 2000
_BATCH_ORDERS: Final = 20_000
_BATCH_SECONDS: Final = 1.0
"""Time after which a batch ends: a purchase is not kept from the lake by what comes after it."""
_WRITES_AT_ONCE: Final = 4


class FeedGone(Exception):
    """The changes behind the position are not in the feed any more."""


class ForgottenUsers:
    """Users that were forgotten, by tenant. Their rows name nobody."""

    def __init__(self, by_tenant: Mapping[str, Iterable[str]]) -> None:
        self._by_tenant = {tenant: set(users) for tenant, users in by_tenant.items()}

    def add(self, tenant: str, user: str) -> None:
        """Adds a user."""
        self._by_tenant.setdefault(tenant, set()).add(user)

    def of(self, tenant: str) -> Collection[str]:
        """Returns the users of a tenant."""
        return self._by_tenant.get(tenant, ())

    def list_customers(self) -> set[str]:
        """Returns the names that they have as customers of orders: those of purchases are TENANT/USER."""
        own = set(self._by_tenant.get(ORDER_TENANT, ()))
        return own | {f"{tenant}/{user}" for tenant, users in self._by_tenant.items() for user in users}

    def to_builtins(self) -> dict[str, list[str]]:
        """Returns them for a file."""
        return {tenant: sorted(users) for tenant, users in sorted(self._by_tenant.items())}


class LakeExporter:
    """Exports batch by batch. Without `orders` there are none to read."""

    def __init__(
        self,
        records: PersistenceClient,
        orders: OrderFeed | None,
        storage: LakeStorage,
        progress: LakeProgress,
        days: DirtyDays,
        forgotten: ForgottenUsers,
    ) -> None:
        self._records = records
        self._orders = orders
        self._storage = storage
        self._progress = progress
        self._days = days
        self._forgotten = forgotten
        self._log = structlog.get_logger()
        self.exported = 0
        """Number of rows since the start."""

    async def export_records(self) -> bool:
        """Exports a batch of changes of records; returns whether there may be more.

        Raises ClientError, StoreError, and FeedGone if changes were missed.
        """
        position = self._progress.records
        began, count = time.monotonic(), 0
        lines: defaultdict[LakeDay, list[bytes]] = defaultdict(list)
        behind, at_end = position, False
        while count < _BATCH_CHANGES and time.monotonic() < began + _BATCH_SECONDS:
            try:
                page = await self._records.changes(behind, tenant=None, limit=_PAGE_CHANGES)
            except Refused as refusal:
                if refusal.error in ("gone", "invalid_params") and behind is not None:
                    raise FeedGone(refusal.message) from None
                raise
            at_end = page.position == behind or not page.changes
            count += len(page.changes)
            for change in page.changes:
                row = self._make_row(change)
                if row is not None:
                    lines[LakeDay(row.tenant, row.folder, row.day)].append(row.line)
            behind = page.position
            if at_end:
                break
        if behind != position:
            await self._write(name_batch(f"records-{self._progress.run}", position), lines)
            self._progress.save(self._days.list_days(), records=behind)
        return not at_end

    async def export_orders(self) -> bool:
        """Exports a batch of changes of orders; returns whether there may be more. Raises StoreError."""
        if self._orders is None:
            return False
        position = behind = self._progress.orders
        began, count, found_all = time.monotonic(), 0, False
        customers = self._forgotten.list_customers()
        lines: defaultdict[LakeDay, list[bytes]] = defaultdict(list)
        while count < _BATCH_ORDERS and time.monotonic() < began + _BATCH_SECONDS:
            found = await self._orders.read_events(behind, limit=_PAGE_ORDERS)
            if found is None or found.position == behind:
                found_all = True
                break
            if found.restarted:
                self._log.warning("lake_orders_missed", position_before=behind, position=found.position)
            for one in found.events:
                names = (
                    [FORGOTTEN if name in customers else name for name in one.customers] if customers else one.customers
                )
                assert ORDER_STEPS.events is not None
                for day, line in iterate_step_rows(one.transition, one.at, one.ranges, names, one.detail):
                    lines[LakeDay(ORDER_TENANT, ORDER_STEPS.events, day)].append(line)
                count += one.orders
            behind = found.position
            # The event loop has other work.
            await asyncio.sleep(0)
        if behind != position:
            await self._write(name_batch(f"orders-{self._progress.run}", position), lines)
            self._progress.save(self._days.list_days(), orders=behind)
        return not found_all

    async def _write(self, name: str, lines: Mapping[LakeDay, list[bytes]]) -> None:
        places = asyncio.Semaphore(_WRITES_AT_ONCE)

        async def write(day: LakeDay, content: list[bytes]) -> None:
            path = f"{day_folder(day.tenant, day.folder, day.day)}{name}"
            async with places:
                await self._storage.write(path, b"".join(content))
            self._days.add(day, path)
            self.exported += len(content)

        await asyncio.gather(*(write(day, content) for day, content in lines.items()))

    def _make_row(self, change: StoredChange) -> EventRow | None:
        if not is_tenant_name(change.tenant):
            return None
        made = ItemChange(change.tenant, change.at, _read_image(change.old), _read_image(change.new))
        if made.old is None and made.new is None:
            return None
        try:
            match change.table:
                case PURCHASES.name:
                    return make_purchase_row(made, self._forgotten.of(change.tenant))
                case STOCK.name:
                    return make_stock_row(made)
                case SCORES.name:
                    return make_score_row(made, self._forgotten.of(change.tenant))
                case BOOKS.name:
                    self._days.add(LakeDay(change.tenant, BOOKS_TABLE.name, ""), None)
        except (InvalidParams, KeyError) as error:
            reason = error.message if isinstance(error, InvalidParams) else f"it lacks {error}"
            self._log.warning("lake_row_skipped", table=change.table, tenant=change.tenant, reason=reason)
        return None


def _read_image(stored: StoredItem | None) -> tuple[Mapping[str, Any], int] | None:
    return None if stored is None or stored.item is None else (stored.item, stored.version)
